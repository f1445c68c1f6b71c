# What a program of Python does before it does anything: finds itself, its modules, its settings and its system.
import json
import os
import pathlib
import pwd
import ssl
import subprocess
import sys
import tempfile

import words

here = pathlib.Path(__file__).resolve().parent
print(here, os.getcwd() == str(here))
print(sys.executable, sys.prefix, sys.path)
print(words.word, sorted(os.listdir(here / "words"))[:2])
print(json.loads((here.parent / "settings.json").read_text())["mode"])
try:
    import not_installed
except ModuleNotFoundError as error:
    print(error)
print(ssl.create_default_context().cert_store_stats(), len(pwd.getpwall()))
try:
    import zoneinfo

    print(zoneinfo.ZoneInfo("Europe/Berlin"))
except ModuleNotFoundError as error:
    print(error)
with tempfile.TemporaryDirectory() as scratch:
    made = pathlib.Path(scratch) / "made" / "by"
    made.mkdir(parents=True)
    (made / "a").write_text("written")
    (made / "a").rename(made / "b")
    print((made / "b").read_text(), os.listdir(made))
print(subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True).stdout)

from importlib import resources

word = (resources.files(__name__) / "word.txt").read_text().strip()

. ./settings.sh
read -r line < ../settings.json
echo "$SETTING $line $(pwd)"
mkdir -p made/by && echo written > made/by/a && mv made/by/a made/b && ls -R made && rm -r made
cc -o hello hello.c && ./hello && rm hello
cd .. && ls && find shell -type f | sort && cat shell/*.c | grep -c main
[ ! -d .git ] || git status --short
cd / && ls -d . && test -d "$OLDPWD" && echo there

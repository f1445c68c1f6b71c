#!/bin/sh
# Makes the pod around itself and becomes its main process. It runs as pid 1 of new mount, pid, network and UTS
# namespaces. Arguments: this folder, Node's executable, hostname, name server, uid, gid, then the HTTP, echo,
# sidecar and UDP port. Environment: the pod's own, and nothing else.
# It says "unshared" when the namespaces exist and waits for a line on stdin before it needs the network.
set -eu
here=$1 node=$2 hostname=$3 nameserver=$4 uid=$5 gid=$6
shift 6
echo unshared
read -r address gateway unreachable black_hole

hostname "$hostname" 2>/dev/null || echo "$hostname" >/proc/sys/kernel/hostname
ip -batch - <<BATCH
link set lo up
address add $address dev eth0
link set eth0 up
route add default via $gateway
route add unreachable $unreachable
neighbor replace $black_hole lladdr 02:00:00:00:00:66 dev eth0 nud permanent
BATCH

# /sys is always there and nothing that the pod needs lies in it; this mount namespace is nobody else's.
root=/sys
mount -t tmpfs -o mode=755 pod-root $root
cd $root
mkdir -p app dev config proc root tmp usr var/lib run/secrets/kubernetes.io/serviceaccount
chmod 1777 tmp
ln -s ../run var/run

# Recursive, because a user namespace may not take submounts off. A remount may be refused where the machine's own
# flags are locked (mount_namespaces(7)); without real root nothing in there can be written anyway.
bind_read_only() {
  mkdir -p "./$1"
  mount --rbind "$1" "./$1"
  mount -o remount,bind,ro "./$1" || test "$(cat /proc/self/uid_map | tr -s ' ')" != " 0 0 4294967295"
}
bind_read_only /usr
for folder in /bin /sbin /lib /lib32 /lib64 /libx32; do
  if [ -L $folder ]; then
    ln -s "$(readlink $folder)" .$folder
  elif [ -d $folder ]; then
    bind_read_only $folder
  fi
done
case $node in
/usr/*) ;;
*) bind_read_only "$(dirname "$(dirname "$node")")" ;;
esac
# Debian's executables are partly links into /etc/alternatives.
if [ -d /etc/alternatives ]; then bind_read_only /etc/alternatives; fi

# mknod(2) needs more than a user namespace gives.
for device in null zero full random urandom tty; do
  : >dev/$device
  mount --bind /dev/$device dev/$device
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm
chmod 1777 dev/shm
mount -t proc proc proc

cat >etc/resolv.conf <<TEXT
nameserver $nameserver
search shop.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
TEXT
cat >etc/hosts <<TEXT
# Kubernetes-managed hosts file.
127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
${address%/*}	$hostname
TEXT
echo "$hostname" >etc/hostname
echo "hosts: files dns" >etc/nsswitch.conf
cat >etc/passwd <<TEXT
root:x:0:0:root:/root:/bin/sh
app:x:1000:1000:app:/app:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
TEXT
printf 'root:x:0:\napp:x:1000:\nnogroup:x:65534:\n' >etc/group

# kubelet's way to change all keys of a ConfigMap at once.
revision=..2026_11_24_09_00_00.123456789
mkdir config/$revision
echo "greetings from the pod's file" >config/$revision/greeting
ln -s $revision config/..data
ln -s ..data/greeting config/greeting

account=run/secrets/kubernetes.io/serviceaccount
printf 'sandbox.not-a-real-token.sandbox' >$account/token
printf 'shop' >$account/namespace
cat "$here/ca.crt" >$account/ca.crt

printf '{"shop": "corner", "currency": "EUR"}\n' >app/settings.json
truncate -s 5M app/large.bin
cat "$here/server.cjs" >app/server.js
# Another owner needs a second uid, and an ordinary user's namespace has one.
(umask 077 && echo "for uid 4242 only" >app/other-users-secret)
chown 4242:4242 app/other-users-secret 2>/dev/null || rm app/other-users-secret

pivot_root . .
umount -l .
cd /app
unset OLDPWD # the shell's own, not the pod's
if [ "$uid" != 0 ] || [ "$gid" != 0 ]; then
  exec setpriv --reuid "$uid" --regid "$gid" --clear-groups "$node" /app/server.js "$@" </dev/null
fi
exec "$node" /app/server.js "$@" </dev/null

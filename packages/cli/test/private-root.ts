/** A project wherever a developer may have it, without anything on this machine being changed: root's tests only. */

/**
 * Runs a command in a mount namespace where `place` is an overlay over the machine's, with a copy of the project in
 * it: what is written there is nobody's. Arguments: place, project, an empty folder, the checkout, the command.
 */
const SCRIPT = `set -e
place=$1 project=$2 scratch=$3 checkout=$4
shift 4
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/root" "$scratch/up" "$scratch/work" "$scratch/empty"
mount --bind "$scratch/root" "$scratch/root" # pivot_root(2) wants a mount
for entry in /*; do
  name=\${entry#/}
  if [ -L "$entry" ]; then cp -P "$entry" "$scratch/root/$name"
  elif [ "$entry" = "/$place" ]; then :
  elif [ -d "$entry" ]; then mkdir "$scratch/root/$name"; mount --rbind "$entry" "$scratch/root/$name"
  fi
done
mkdir "$scratch/root/$place"
lower="$scratch/empty"
[ ! -d "/$place" ] || lower="/$place"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$scratch/up,workdir=$scratch/work" "$scratch/root/$place"
mkdir -p "$scratch/root/$checkout"
[ -e "$scratch/root/$checkout/dist" ] || mount --rbind "$checkout" "$scratch/root/$checkout"
mkdir -p "$scratch/root/$place/dev"
cp -a "$project" "$scratch/root/$place/dev/orders"
mkdir "$scratch/root/.before"
cd "$scratch/root"
pivot_root . .before
cd /
umount -l /.before
cd "/$place/dev/orders"
exec "$@"`;

export interface PrivatePlace {
  /** A name below "/". The project is in /PLACE/dev/orders. */
  readonly place: string;
  readonly project: string;
  /** Empty, for mounts. */
  readonly scratch: string;
  readonly checkout: string;
}

/** What stands before a command's arguments. */
export const inPrivateRoot = ({ place, project, scratch, checkout }: PrivatePlace): string[] => [
  ...["unshare", "-m", "--propagation", "private", "sh", "-c", SCRIPT, "private-root"],
  ...[place, project, scratch, checkout],
];

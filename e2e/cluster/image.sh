# Container images made from files of this machine. Sourced by "cluster".
# shellcheck shell=bash

# copy_program ROOTFS FILE...: copies programs with the libraries each needs,
# and whole folders as they are, to the same paths below ROOTFS
copy_program() {
  local rootfs=$1 file
  shift
  for file in "$@"; do
    file=$(realpath -s "$file")
    if [ -d "$file" ]; then
      mkdir -p "$rootfs$(dirname "$file")"
      cp -a "$file" "$rootfs$file"
      continue
    fi
    { echo "$file"; ldd "$file" 2>/dev/null | grep -o '/[^ )]*' || true; } | while read -r file; do
      mkdir -p "$rootfs$(dirname "$file")"
      cp -L --preserve=mode,timestamps "$file" "$rootfs$file"
    done
  done
}

# put_blob LAYOUT FILE: moves FILE into an OCI layout, prints its digest and size
put_blob() {
  local digest
  digest=$(sha256sum "$2" | cut -d' ' -f1)
  printf '"digest":"sha256:%s","size":%s' "$digest" "$(stat -c %s "$2")"
  mv "$2" "$1/blobs/sha256/$digest"
}

# make_image NAME ROOTFS OUT [COMMAND...]: an OCI image of one layer, as a tar
# file that "ctr images import" reads. All its files are root's.
make_image() {
  local name=$1 rootfs=$2 out=$3 work entrypoint layer config manifest
  local type=application/vnd.oci.image
  shift 3
  # The full name, as the kubelet makes it of a short one.
  case ${name##*/} in *:*) ;; *) name=$name:latest ;; esac
  case $name in
    localhost/* | *.*/*) ;;
    */*) name=docker.io/$name ;;
    *) name=docker.io/library/$name ;;
  esac
  work=$(mktemp -d)
  mkdir -p "$work/image/blobs/sha256"
  entrypoint=$(for word in "$@"; do printf '%s' "$word" | jq -Rs .; done | jq -sc .)
  tar -C "$rootfs" --sort=name --numeric-owner --owner=0 --group=0 -cf "$work/layer" .
  layer=$(put_blob "$work/image" "$work/layer")
  printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=%s"],"Entrypoint":%s},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
    "$(dpkg --print-architecture)" /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$entrypoint" \
    "$(echo "$layer" | grep -o '"sha256:[0-9a-f]*"')" >"$work/config"
  config=$(put_blob "$work/image" "$work/config")
  printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json",%s},"layers":[{"mediaType":"%s.layer.v1.tar",%s}]}' \
    "$type" "$type" "$config" "$type" "$layer" >"$work/manifest"
  manifest=$(put_blob "$work/image" "$work/manifest")
  printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s.manifest.v1+json",%s,"annotations":{"io.containerd.image.name":"%s"}}]}' \
    "$type" "$manifest" "$name" >"$work/image/index.json"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"
  mkdir -p "$(dirname "$out")"
  tar -C "$work/image" -cf "$out" .
  rm -r "$work"
}

/**
 * An image in one archive that each engine reads: an OCI image layout (image-spec, image-layout.md) with
 * the names that containerd looks for, and manifest.json for engines that know docker-archive alone.
 */
import { createHash } from "node:crypto";
import { type Entry, tar, withDirectories } from "./tar.ts";

export interface Image {
  /** As the kubelet makes it of a short name: "docker.io/inpod/agent". */
  readonly repository: string;
  readonly tag: string;
  /** As Go names it: "amd64", "arm64". */
  readonly architecture: string;
  readonly entrypoint: readonly string[];
  readonly files: readonly Entry[];
}

const TYPE = "application/vnd.oci.image";
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** The pieces of the archive. */
export function imageArchive(image: Image): Generator<Uint8Array> {
  const blobs: Entry[] = [];
  const put = (mediaType: string, content: Uint8Array): Descriptor => {
    const digest = createHash("sha256").update(content).digest("hex");
    blobs.push({ path: `blobs/sha256/${digest}`, mode: 0o644, content });
    return { mediaType, digest: `sha256:${digest}`, size: content.length };
  };
  // Not compressed: unpacking gzip takes longer than reading, and engines compress what they push.
  const layer = put(`${TYPE}.layer.v1.tar`, Buffer.concat([...tar(withDirectories(image.files))]));
  const platform = { architecture: image.architecture, os: "linux" };
  const config = put(
    `${TYPE}.config.v1+json`,
    json({
      created: "1970-01-01T00:00:00Z",
      ...platform,
      config: { Env: [`PATH=${PATH}`], Entrypoint: image.entrypoint, WorkingDir: "/" },
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    }),
  );
  const manifest = put(
    `${TYPE}.manifest.v1+json`,
    json({ schemaVersion: 2, mediaType: `${TYPE}.manifest.v1+json`, config, layers: [layer] }),
  );
  const name = `${image.repository}:${image.tag}`;
  const index = {
    schemaVersion: 2,
    mediaType: `${TYPE}.index.v1+json`,
    manifests: [
      {
        ...manifest,
        platform,
        annotations: {
          "io.containerd.image.name": name,
          "org.opencontainers.image.ref.name": image.tag,
        },
      },
    ],
  };
  const dockerArchive = [
    {
      Config: pathOf(config),
      RepoTags: [name.replace(/^docker\.io\//, "")],
      Layers: [pathOf(layer)],
    },
  ];
  const file = (path: string, value: unknown) => ({ path, mode: 0o644, content: json(value) });
  return tar(
    withDirectories([
      ...blobs,
      file("index.json", index),
      file("manifest.json", dockerArchive),
      file("oci-layout", { imageLayoutVersion: "1.0.0" }),
    ]),
  );
}

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const pathOf = ({ digest }: Descriptor): string => `blobs/${digest.replace(":", "/")}`;

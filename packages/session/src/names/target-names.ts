/** Names as the target knows them, for who connects from there without a program that has a resolver of its own. */
import { TunnelFailure } from "@inpod/tunnel";
import { type AskedFrom, type NameFiles, type Resolved, resolveName } from "./resolve.ts";

const MAX_FILE = 64 * 1024;
/** kubelet writes both files once in the life of a pod; others may write to /etc/hosts. */
const FILES_MS = 30_000;
/** Whatever the answer says: a Service may have been made anew. */
const MAX_TTL_MS = 30_000;
/** Many connections to one name are begun at once. */
const MIN_TTL_MS = 1000;
/** Who is told that a name is not known tries again. */
const NEGATIVE_MS = 1000;
const MAX_NAMES = 1024;

export interface NamesParts extends AskedFrom {
  /** @throws TunnelError */
  readFile(path: string, limitBytes: number): Promise<string>;
}

interface Known {
  readonly resolved: Promise<Resolved>;
  /** Of performance.now(); undefined while it is asked for. */
  until: number | undefined;
}

export class TargetNames {
  readonly #parts: NamesParts;
  readonly #now: () => number;
  #files: { readonly read: Promise<NameFiles>; readonly until: number } | undefined;
  /** By name as it was asked for; the oldest is forgotten first. */
  readonly #known = new Map<string, Known>();

  constructor(parts: NamesParts, now: () => number = () => performance.now()) {
    this.#parts = parts;
    this.#now = now;
  }

  /**
   * Its addresses, in the order in which they were told; remembered for some seconds, as long as their TTL at most.
   * @throws TunnelFailure ENOENT: there is no such name; EAGAIN: its name servers do not answer
   */
  async lookup(name: string): Promise<readonly string[]> {
    const { addresses, words, isSilent } = await this.resolve(name);
    if (addresses.length > 0) return addresses;
    throw new TunnelFailure(isSilent ? "EAGAIN" : "ENOENT", words.join("; "));
  }

  /** The same with how it was found, and without an error. Never rejects. */
  resolve(name: string): Promise<Resolved> {
    const key = name.toLowerCase();
    const known = this.#known.get(key);
    if (known && (known.until === undefined || known.until > this.#now())) return known.resolved;
    const fresh: Known = {
      resolved: this.files().then((files) => resolveName(name, files, this.#parts)),
      until: undefined,
    };
    this.#known.delete(key);
    this.#known.set(key, fresh);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_NAMES && oldest !== undefined) this.#known.delete(oldest);
    void fresh.resolved.then(({ addresses, ttlSeconds, isSilent }) => {
      const ttlMs =
        addresses.length === 0
          ? NEGATIVE_MS
          : Math.max(MIN_TTL_MS, Math.min(MAX_TTL_MS, ttlSeconds * 1000));
      fresh.until = this.#now() + ttlMs;
      if (isSilent && this.#known.get(key) === fresh) this.#known.delete(key);
    });
    return fresh.resolved;
  }

  /** The target's /etc/hosts and /etc/resolv.conf. Never rejects. */
  files(): Promise<NameFiles> {
    if (this.#files === undefined || this.#files.until <= this.#now()) {
      const read = (path: string): Promise<string> =>
        this.#parts.readFile(path, MAX_FILE).catch(() => "");
      const both = Promise.all([read("/etc/hosts"), read("/etc/resolv.conf")]);
      this.#files = {
        read: both.then(([hosts, resolvConf]) => {
          // It has one in every container: an empty one was not to be had, and is asked for again.
          if (resolvConf === "") this.#files = undefined;
          return { hosts, resolvConf };
        }),
        until: this.#now() + FILES_MS,
      };
    }
    return this.#files.read;
  }

  /** The target is another one now. */
  forget(): void {
    this.#files = undefined;
    this.#known.clear();
  }
}

/** What the operations share. */
import type { Answer, AnswerWriter, Entry, Owner } from "../fuse/answers.ts";
import type { FileService } from "../remote/file-service.ts";
import { Fetch, isStale } from "./fetch.ts";
import { Handles } from "./handles.ts";
import type { FileNode } from "./node.ts";
import { Nodes } from "./nodes.ts";
import { type Limits, UNWATCHED_MS } from "./policy.ts";
import { Prefetch } from "./prefetch.ts";
import { Pace } from "./read-ahead.ts";

export class World {
  readonly service: FileService;
  readonly nodes: Nodes;
  readonly fetch: Fetch;
  readonly prefetch: Prefetch;
  readonly handles: Handles;
  readonly pace: Pace;
  readonly writer: AnswerWriter;
  /** Whose the files seem to be, where not who they are of. */
  readonly owner: Owner | undefined;
  readonly limits: Limits;

  constructor(options: {
    service: FileService;
    writer: AnswerWriter;
    owner: Owner | undefined;
    limits: Limits;
  }) {
    this.service = options.service;
    this.writer = options.writer;
    this.owner = options.owner;
    this.limits = options.limits;
    this.nodes = new Nodes(options.limits);
    this.fetch = new Fetch(options.service, this.nodes);
    this.prefetch = new Prefetch(this.fetch);
    this.handles = new Handles(options.service);
    this.pace = new Pace(options.limits.aheadBytes);
  }

  /** @throws FileError ESTALE for one that is not known any more */
  node(id: number): FileNode {
    const node = this.nodes.get(id);
    if (!node) throw isStale("an unknown file");
    return node;
  }

  /** One whose name still leads to it. */
  namedNode(id: number): FileNode {
    const node = this.node(id);
    if (node.isGone) throw isStale("the name of a file leads to another one");
    return node;
  }

  /** Its name was looked up: the kernel holds a reference more. */
  entry(node: FileNode): Answer {
    return this.writer.entry(this.lookedUp(node));
  }

  lookedUp(node: FileNode): Entry {
    node.lookups++;
    return {
      node: node.id,
      attributes: node.attributes,
      nameMs: this.nodes.nameValidMs(node),
      attributesMs: this.nodes.attributesValidMs(node),
    };
  }

  attributes(node: FileNode): Answer {
    return this.writer.attributes(node.attributes, this.nodes.attributesValidMs(node));
  }

  absent(parent: FileNode, name: string): Answer {
    const validMs = this.nodes.absentValidMs(parent, name);
    if (validMs > UNWATCHED_MS) parent.directory?.tellAbsent(name);
    return this.writer.negative(validMs);
  }
}

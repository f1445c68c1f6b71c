/** Ports that are taken from several targets at once, as if from one: a session with each, and they come and go. */
import type { PodPort } from "@inpod/protocol";
import type { Session } from "./session.ts";
import {
  type OnConnection,
  podPort,
  type StealOptions,
  type Stolen,
  type TakeOptions,
} from "./taken.ts";

/** A port is said to be taken then, though a source that still starts has not given it. */
const PATIENCE_MS = 5000;

export type IncomingSource = Pick<Session, "steal" | "mirror">;

export interface FanObserver<Name> {
  /** One source did not give the port, and another one did. */
  onRefused(name: Name, port: PodPort, error: unknown): void;
  /** From which sources what is taken has changed; `port` is taken for the first time, or undefined. */
  onTaken(port: PodPort | undefined): void;
}

/** What was asked for, and of whom it is had. */
interface Wish<Name> {
  readonly port: PodPort;
  readonly ask: (name: Name, source: IncomingSource, number: number) => Promise<Stolen>;
  /** The port's number there. */
  readonly at: (name: Name) => number | undefined;
  readonly had: Map<Name, Had>;
  isOver: boolean;
}

interface Had extends Stolen {
  /** As the source knows it. */
  readonly number: number;
}

export class Fan<Name extends string> implements IncomingSource {
  readonly #observer: FanObserver<Name>;
  /** In the order in which they were added; a source that fails to start removes itself. */
  readonly #sources = new Map<Name, Promise<IncomingSource>>();
  readonly #wishes = new Set<Wish<Name>>();
  readonly #counts = new Map<Name, number>();

  constructor(observer: FanObserver<Name>) {
    this.#observer = observer;
  }

  /** What is taken somewhere, in the order in which it was asked for. */
  get ports(): readonly PodPort[] {
    return [...this.#wishes].filter(({ had }) => had.size > 0).map(({ port }) => port);
  }

  /** The sources of which a port is taken, in the order in which they were added. */
  get taken(): readonly Name[] {
    return [...this.#sources.keys()].filter((name) =>
      [...this.#wishes].some((wish) => wish.had.has(name)),
    );
  }

  /** Connections so far, of sources that have gone as well. */
  get counts(): ReadonlyMap<Name, number> {
    return this.#counts;
  }

  /**
   * From now on it is asked for every port that is or will be wanted. Who waits for a port waits for this one too.
   * @param source rejects when there is none to be had; whoever gave it knows why
   * @returns resolves when it has answered for all ports that are wanted now
   */
  async add(name: Name, source: Promise<IncomingSource>): Promise<void> {
    this.#sources.set(name, source);
    source.catch(() => {
      // Another one may have its name by now.
      if (this.#sources.get(name) === source) this.#sources.delete(name);
    });
    await this.#askAll(name, [...this.#wishes]);
  }

  async #askAll(name: Name, wishes: readonly Wish<Name>[]): Promise<void> {
    const answers = await Promise.all(wishes.map((wish) => this.#ask(wish, name)));
    for (const { wish, error } of answers)
      if (error !== undefined) this.#observer.onRefused(name, wish.port, error.cause);
    if (answers.some(({ isNews }) => isNews)) this.#observer.onTaken(undefined);
  }

  /** It is not asked any more; what it has given it may keep. */
  remove(name: Name): void {
    const wasTaken = this.taken.includes(name);
    this.#sources.delete(name);
    for (const { had } of this.#wishes) had.delete(name);
    if (wasTaken) this.#observer.onTaken(undefined);
  }

  /** It has lost the port, and will not have it again by itself. */
  lost(name: Name, { port, protocol }: PodPort): void {
    for (const { port: wanted, had } of this.#wishes)
      if (had.get(name)?.number === port && wanted.protocol === protocol) had.delete(name);
  }

  /** Whether a port of this number is wanted of it now. */
  wants(name: Name, { port, protocol }: PodPort): boolean {
    return [...this.#wishes].some(
      ({ port: wanted, at }) => wanted.protocol === protocol && at(name) === port,
    );
  }

  /** It is somewhere else now, where ports may have other numbers: those are asked for, and the others released. */
  async moved(name: Name): Promise<void> {
    const wishes = [...this.#wishes].filter(({ had, at }) => {
      const before = had.get(name)?.number;
      return before !== undefined && before !== at(name);
    });
    for (const { had } of wishes) {
      void had
        .get(name)
        ?.release()
        .catch(() => {}); // it is gone, there or with its agent
      had.delete(name);
    }
    await this.#askAll(name, wishes);
  }

  /**
   * As a session's, of all sources: it has failed when all have, with what the first one said. When it returns each
   * source has answered, or five seconds are over.
   */
  steal(port: number, onConnection: OnConnection, options: StealOptions = {}): Promise<Stolen> {
    return this.#take({ ...options, port }, "all", (name, source, number) =>
      source.steal(number, this.#counted(name, onConnection), options),
    );
  }

  /** Returns with the first source that gives it. */
  mirror(port: number, onConnection: OnConnection, options: TakeOptions = {}): Promise<Stolen> {
    return this.#take({ ...options, port }, "one", (name, source, number) =>
      source.mirror(number, this.#counted(name, onConnection), options),
    );
  }

  async #take(
    wanted: TakeOptions & { readonly port: number },
    waitsFor: "all" | "one",
    ask: Wish<Name>["ask"],
  ): Promise<Stolen> {
    const { portAt = () => wanted.port } = wanted;
    const port = podPort(wanted);
    const wish: Wish<Name> = { port, ask, at: portAt, had: new Map(), isOver: false };
    this.#wishes.add(wish);
    const answers = [...this.#sources.keys()].map((name) => this.#ask(wish, name));
    const told = this.#tellOf(wish, answers);
    const news = answers.map(async (answer) => {
      if (!(await answer).isNews) await told;
    });
    await (waitsFor === "all" ? told : Promise.race([told, ...news]));
    if (wish.had.size > 0) return { release: () => this.#release(wish) };
    this.#wishes.delete(wish);
    wish.isOver = true;
    const all = await Promise.all(answers);
    throw all.find(({ error }) => error !== undefined)?.error?.cause ?? noSource();
  }

  /** Waits as steal() says, and goes on to tell of those that answer later. */
  async #tellOf(wish: Wish<Name>, answers: readonly Promise<Answer<Name>>[]): Promise<void> {
    const { port, had } = wish;
    const all = Promise.all(answers);
    await Promise.race([all, pause(PATIENCE_MS)]);
    if (had.size === 0) await all;
    if (had.size === 0) return;
    const before = had.size;
    void all.then((every) => {
      for (const { name, error } of every)
        if (error !== undefined) this.#observer.onRefused(name, port, error.cause);
      if (had.size !== before && !wish.isOver) this.#observer.onTaken(undefined);
    });
    if (!wish.isOver) this.#observer.onTaken(port);
  }

  /** Never rejects. A source that could not be started says nothing here: who started it tells. */
  async #ask(wish: Wish<Name>, name: Name): Promise<Answer<Name>> {
    const promise = this.#sources.get(name);
    const source = await promise?.catch(() => undefined);
    if (source === undefined || this.#sources.get(name) !== promise)
      return { wish, name, isNews: false };
    const number = wish.at(name);
    if (number === undefined) return { wish, name, isNews: false, error: { cause: noSuchPort() } };
    try {
      const stolen = await wish.ask(name, source, number);
      if (this.#sources.get(name) !== promise) return { wish, name, isNews: false };
      if (wish.isOver) {
        await stolen.release().catch(() => {});
        return { wish, name, isNews: false };
      }
      wish.had.set(name, { number, release: () => stolen.release() });
      return { wish, name, isNews: true };
    } catch (cause) {
      return { wish, name, isNews: false, error: { cause } };
    }
  }

  async #release(wish: Wish<Name>): Promise<void> {
    wish.isOver = true;
    this.#wishes.delete(wish);
    await Promise.all([...wish.had.values()].map((stolen) => stolen.release()));
  }

  #counted(name: Name, onConnection: OnConnection): OnConnection {
    return (channel, header) => {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
      onConnection(channel, header);
    };
  }
}

interface Answer<Name> {
  readonly wish: Wish<Name>;
  readonly name: Name;
  /** The port is had of it. */
  readonly isNews: boolean;
  readonly error?: { readonly cause: unknown };
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });

const noSuchPort = (): Error => new Error("it has no port of that name");
const noSource = (): Error => new Error("there is no pod to take it from");

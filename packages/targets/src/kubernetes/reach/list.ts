/** Lists of any length, in pages. */
import type { ApiClient } from "./api-client.ts";
import { type ApiCall, ApiError } from "./api-errors.ts";

/** Objects in one answer: pods of 40 KB are rare, and an answer has a limit of 16 MB. */
const PAGE = 400;
/** Names and labels only. */
const METADATA_PAGE = 2_000;
/** Beyond, something is wrong with the selector or nobody can read the result. */
const MAX_OBJECTS = 50_000;
/** A page's token is good for five minutes or so; a list that comes that late begins anew, once. */
const EXPIRED = 410;

const METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

export interface Metadata {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly creationTimestamp?: string;
    readonly ownerReferences?: readonly Owner[];
  };
}
export interface Owner {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export type ListCall = Omit<ApiCall, "verb" | "namespace"> & {
  /** Undefined: all of them. */
  readonly namespace?: string | undefined;
};

export interface ListOptions {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly accept?: string;
  readonly signal?: AbortSignal | undefined;
}

interface Page<T> {
  /** null: Go's empty list. */
  readonly items: readonly T[] | null;
  readonly metadata?: { readonly continue?: string; readonly resourceVersion?: string };
}

/** Everything, as the server's selector has it. @throws as ApiClient.request() */
export const listAll = <T>(
  api: ApiClient,
  call: ListCall,
  options: ListOptions = {},
): Promise<T[]> => pages<T>(api, call, options, PAGE).then(({ items }) => items);

export interface Versioned<T> {
  readonly items: T[];
  /** A watch from here tells what has changed since. */
  readonly resourceVersion: string | undefined;
}

/** The same, for who goes on with a watch. */
export const listVersioned = <T>(
  api: ApiClient,
  call: ListCall,
  options: ListOptions = {},
): Promise<Versioned<T>> => pages<T>(api, call, options, PAGE);

/** The same without specs and states: a tenth of the bytes. */
export const listMetadata = (
  api: ApiClient,
  call: ListCall,
  options: ListOptions = {},
): Promise<Metadata[]> =>
  pages<Metadata>(api, call, { ...options, accept: METADATA_ONLY }, METADATA_PAGE).then(
    ({ items }) => items,
  );

async function pages<T>(
  api: ApiClient,
  { namespace, ...call }: ListCall,
  { labelSelector, fieldSelector, accept, signal }: ListOptions,
  limit: number,
): Promise<Versioned<T>> {
  for (let attempt = 1; ; attempt++) {
    const items: T[] = [];
    let token: string | undefined;
    let resourceVersion: string | undefined;
    try {
      do {
        const page: Page<T> = await api.request(
          { ...call, verb: "list", ...(namespace === undefined ? {} : { namespace }) },
          {
            ...(accept === undefined ? {} : { accept }),
            signal,
            query: {
              limit: String(limit),
              ...(labelSelector === undefined ? {} : { labelSelector }),
              ...(fieldSelector === undefined ? {} : { fieldSelector }),
              ...(token === undefined ? {} : { continue: token }),
            },
          },
        );
        items.push(...(page.items ?? []));
        resourceVersion = page.metadata?.resourceVersion;
        token = page.metadata?.continue || undefined;
      } while (token !== undefined && items.length < MAX_OBJECTS);
      return { items, resourceVersion };
    } catch (error) {
      const isExpired = error instanceof ApiError && error.status === EXPIRED;
      if (!isExpired || token === undefined || attempt > 1) throw error;
    }
  }
}

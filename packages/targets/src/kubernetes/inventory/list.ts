/** Whole lists, page by page. */
import type { ApiClient, RequestExtras } from "../reach/api-client.ts";

/** Of the whole list; the API server is asked again for the next page. */
const PAGE = "500";
/** Beyond that a cluster has other troubles. */
const MAX_PAGES = 100;

interface List<T> {
  /** null: Go's empty list. */
  readonly items: readonly T[] | null;
  readonly metadata?: { readonly continue?: string };
}

/** @param what its namespace undefined: all. @throws ApiError */
export async function listAll<T>(
  api: ApiClient,
  { namespace, ...what }: { group: string; resource: string; namespace: string | undefined },
  extras: RequestExtras,
): Promise<T[]> {
  const items: T[] = [];
  let next: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const list = await api.request<List<T>>(
      { verb: "list", ...what, ...(namespace === undefined ? {} : { namespace }) },
      {
        ...extras,
        query: { limit: PAGE, ...extras.query, ...(next === undefined ? {} : { continue: next }) },
      },
    );
    items.push(...(list.items ?? []));
    next = list.metadata?.continue || undefined;
    if (next === undefined) break;
  }
  return items;
}

/** Kubernetes' resource.Quantity as a number. Pure. */

const FACTORS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** Undefined for what is none. */
export function quantity(text: string | undefined): number | undefined {
  const [, digits = "", suffix = ""] =
    /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|)$/.exec(
      text ?? "",
    ) ?? [];
  const value = Number(digits) * (FACTORS[suffix] ?? Number.NaN);
  return digits !== "" && Number.isFinite(value) ? value : undefined;
}

/** 0 for what is none, where a whole examination must not end because of it. */
export const quantityOrNone = (text: string | undefined): number => quantity(text) ?? 0;

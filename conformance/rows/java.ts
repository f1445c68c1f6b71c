/** The JDK's three ways to the network. */
import type { Recipe } from "@inpod/sandbox";
import { compiledBy, program, type Row, simple } from "../row.ts";

export const javaRecipe = (mode: string): Recipe => ({
  sources: [program("Facts.java")],
  compile: ([path = ""]) => ["javac", "-d", ".", path],
  run: (built) => [
    ...["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", built, "Facts", mode],
  ],
});

const row = (name: string, mode: string): Row =>
  simple({ name, tool: () => compiledBy(["java", "-version"], javaRecipe(mode)) });

export const javaRows: readonly Row[] = [
  row("Java, blocking", "blocking"),
  row("Java, NIO", "nio"),
  row("Java, HttpClient", "http"),
];

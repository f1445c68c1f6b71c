/** The JDK's three ways to the network. */
import { program, type Row, simple } from "../row.ts";

const row = (name: string, mode: string): Row =>
  simple({
    name,
    recipe: {
      sources: [program("Facts.java")],
      compile: ([path = ""]) => ["javac", "-d", ".", path],
      run: (built) => [
        ...["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", built, "Facts", mode],
      ],
    },
    version: ["java", "-version"],
  });

export const javaRows: readonly Row[] = [
  row("Java, blocking", "blocking"),
  row("Java, NIO", "nio"),
  row("Java, HttpClient", "http"),
];

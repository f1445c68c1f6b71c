/** Several who put rules in the agent's one table: it goes when the last of them needs it no more. */
import type { Rules, UdpRules } from "../control/enter.ts";

export class SharedRules {
  readonly #rules: Rules & UdpRules;
  readonly #users = new Set<object>();

  constructor(rules: Rules & UdpRules) {
    this.#rules = rules;
  }

  tcp(): Rules {
    const rules = this.#rules;
    const user: Rules = {
      steal: (port, relayPort) => {
        this.#users.add(user);
        return rules.steal(port, relayPort);
      },
      release: (port) => rules.release(port),
      pass: (passing) => rules.pass(passing),
      passed: (passing) => rules.passed(passing),
      otherEnd: (tracked) => rules.otherEnd(tracked),
      flush: (...asked) => rules.flush(...asked),
      drained: () => this.#drained(user),
    };
    return user;
  }

  udp(): UdpRules {
    const rules = this.#rules;
    const user: UdpRules = {
      stealUdp: (port, relayPort) => {
        this.#users.add(user);
        return rules.stealUdp(port, relayPort);
      },
      releaseUdp: (port) => rules.releaseUdp(port),
      drained: () => this.#drained(user),
    };
    return user;
  }

  async #drained(user: object): Promise<void> {
    this.#users.delete(user);
    if (this.#users.size === 0) await this.#rules.drained();
  }
}

/**
 * Refuses work of those who need not wait, as soon as it is known that they would wait for long.
 *
 * @param refusalOf returns why they would wait for long now; undefined when they would not, as far as is known
 */
export function createImpatience(refusalOf: () => Error | undefined) {
  const waiting = new Set<(error: Error) => void>();
  return {
    /** Does work unless it is refused. What has begun is given up, but not undone. @throws (rejects) the refusal */
    async attempt<T>(work: () => Promise<T>): Promise<T> {
      const refusal = refusalOf();
      if (refusal !== undefined) throw refusal;
      let refuse: (error: Error) => void = () => undefined;
      const refused = new Promise<never>((_, reject) => {
        refuse = reject;
      });
      waiting.add(refuse);
      return Promise.race([work(), refused]).finally(() => waiting.delete(refuse));
    },
    /** Refuses what has begun; to be called when it becomes known that it takes long. */
    refuse(): void {
      const refusal = refusalOf();
      if (refusal === undefined) return;
      for (const refuse of waiting) refuse(refusal);
    },
  };
}

/** A promise that the test itself settles (Promise.withResolvers is not there in Node 20). */
export function deferred<T = void>() {
  let settle: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: (value: T) => settle(value) };
}

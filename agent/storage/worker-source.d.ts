/** The program of the worker thread, bundled into one text: it must run from wherever this code is bundled into. */
declare module 'storage-worker-source' {
  const source: string;
  export default source;
}

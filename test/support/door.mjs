/**
 * `door.mjs SOCKET PORT`: hands what connects to a Unix socket on to this host's own 127.0.0.1. A file's name is the
 * same in every network namespace.
 */
import { connect, createServer } from 'node:net';

const [socket, port] = process.argv.slice(2);
const server = createServer((outside) => {
  const inside = connect(Number(port), '127.0.0.1');
  outside.pipe(inside).pipe(outside);
  outside.on('error', () => inside.destroy());
  inside.on('error', () => outside.destroy());
});
server.listen(socket, () => console.log('open'));

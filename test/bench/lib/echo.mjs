/** The baseline: bare Node that binds a UDP port, prints that it is ready, and echoes datagrams. */
import { createSocket } from 'node:dgram';

const [address = '127.0.0.1', port = '0'] = process.argv.slice(2);
const socket = createSocket('udp4');
socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address));
socket.bind(Number(port), address, () => process.stdout.write(`ready ${socket.address().port}\n`));

/** A device that takes commands by MQTT, as one is written with the npm package `mqtt`: it answers like the agent's `ping`. */
import { connectAsync } from 'mqtt';

const [address = '127.0.0.1', port = '0', commands = '', replies = '', level = '0'] = process.argv.slice(2);
const qos = level === '1' ? 1 : 0;
const client = await connectAsync(`mqtt://${address}:${port}`, { reconnectPeriod: 0 });
client.on('close', () => process.exit());
client.on('message', (_topic, payload) => {
  const [id] = payload.toString().split(' ', 1);
  client.publish(replies, `${id} ok pong`, { qos });
});
await client.subscribeAsync(commands, { qos });
process.stdout.write('ready\n');
process.once('SIGTERM', () => client.end());

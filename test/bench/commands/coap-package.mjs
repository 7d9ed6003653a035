/** What the agent's CoAP is compared with besides the echo: the package's server, answering like the agent's `ping`. */
import { createServer } from 'coap';

const [address = '127.0.0.1', port = '0'] = process.argv.slice(2);
const server = createServer((_request, response) => response.end('pong'));
server.listen(Number(port), address, () => process.stdout.write(`ready ${port}\n`));

// npm run example:mcp: an MCP server whose tools need tokens of Gatehouse. See docs/guides/protecting.md.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express, { type Request, type Response } from 'express';
import { createVerifier, forMcp } from 'gatehouse/verify';
import { z } from 'zod';

const { PORT = '7400', ISSUER = 'http://localhost:7300', RESOURCE = `http://localhost:${PORT}/mcp` } = process.env;

// Clients of MCP 2025-03-26 name neither a resource nor a scope: what they get is for the issuer itself.
const reading = RESOURCE === ISSUER ? [] : ['notes:read'];
const writing = [...reading, 'notes:write'];

const verifier = createVerifier({
  issuer: ISSUER,
  resource: RESOURCE,
  scopes: reading,
  metadata: { name: 'Notes', scopes: writing },
});
const gate = forMcp(verifier);

/** Notes of each person, or of each program that has a token of its own. */
const notes = new Map<string, string[]>();

/** A server for one request: there are no sessions to keep. */
function notesServer(): McpServer {
  const server = new McpServer({ name: 'notes', version: '1.0.0' });
  const ownerOf = (extra: { readonly authInfo?: { readonly extra?: Record<string, unknown> } }) => String(extra.authInfo?.extra?.subject);
  const said = (text: string) => ({ content: [{ type: 'text' as const, text }] });
  server.registerTool('list_notes', { description: 'Lists your notes' }, (extra) => said((notes.get(ownerOf(extra)) ?? []).join('\n')));
  server.registerTool('add_note', { description: 'Adds a note', inputSchema: { text: z.string().max(1_000) } }, ({ text }, extra) => {
    const owner = ownerOf(extra);
    notes.set(owner, [...(notes.get(owner) ?? []), text].slice(-100));
    return said('added');
  });
  return server;
}

/** What writes needs more; a client that lacks it is told so with 403, and asks its person for it. */
function needsOf({ body }: Request): { readonly scopes: readonly string[] } {
  const calls: unknown[] = [body].flat();
  const writes = calls.some((call) => (call as { readonly params?: { readonly name?: unknown } } | undefined)?.params?.name === 'add_note');
  return { scopes: writes ? writing : reading };
}

async function serve(request: Request, response: Response): Promise<void> {
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
  const server = notesServer();
  response.on('close', () => void server.close());
  // Its type says less than what it takes, where optional members may not be undefined.
  await server.connect(transport as Parameters<McpServer['connect']>[0]);
  await transport.handleRequest(request, response, request.body);
}

const app = express();
app.use(gate.metadata);
// Nothing is read before there is a token.
app.use('/mcp', gate.needs());
app.use(express.json({ limit: '100kb' }));
app.use('/mcp', (request, response, next) => gate.needs(needsOf(request))(request, response, next));
app.post('/mcp', (request, response, next) => void serve(request, response).catch(next));
app.all('/mcp', (_, response) => void response.status(405).set('allow', 'POST').end());
app.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`notes are at http://localhost:${PORT}/mcp, for tokens of ${ISSUER}`);
});

// An agent that knows no secret: it calls the API as if it had one.
const [url, method = 'GET'] = process.argv.slice(2);
const answer = await fetch(url, { method, headers: { authorization: `Bearer ${process.env.DEMO_TOKEN ?? 'nothing'}` } });
const body = await answer.json();
if (answer.ok) console.log('node:', answer.status, body);
else console.log('node:', answer.status, body.code, '-', body.hint);
process.exitCode = answer.ok ? 0 : 1;

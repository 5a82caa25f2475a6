// The node `ws` peer with compression: `deflate_peer.js MESSAGES`.
//
// Its twin is deflate_peer.py, which says what is read and printed.
'use strict';

const assert = require('node:assert/strict');
const { on, once } = require('node:events');
const { readFileSync } = require('node:fs');
const { createInterface } = require('node:readline');
const { WebSocket, WebSocketServer } = require('ws');

const JOB_MS = 20_000;

const MESSAGES = Object.entries(JSON.parse(readFileSync(process.argv[2], 'utf8'))).map(
    ([phase, messages]) => [phase, messages.map(({ text, parts: encoded }) => {
        const parts = encoded.map((part) => Buffer.from(part, 'base64'));
        return { text, parts, whole: Buffer.concat(parts) };
    })],
);

async function asClient(url, perMessageDeflate, late) {
    const ws = new WebSocket(url, { perMessageDeflate });
    let agreed;
    ws.on('upgrade', ({ headers }) => { agreed = headers['sec-websocket-extensions'] ?? ''; });
    const inbox = on(ws, 'message', { signal: late, close: ['close'] });
    await once(ws, 'open', { signal: late });
    return talk(ws, inbox, agreed, late);
}

async function asServer(perMessageDeflate, late) {
    const listener = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });
    try {
        await once(listener, 'listening', { signal: late });
        let agreed = '';
        listener.on('headers', (headers) => {
            const name = 'Sec-WebSocket-Extensions: ';
            agreed = headers.find((line) => line.startsWith(name))?.slice(name.length) ?? '';
        });
        const connected = once(listener, 'connection', { signal: late });
        console.log(`listening on ws://127.0.0.1:${listener.address().port}`);
        const [ws] = await connected;
        const inbox = on(ws, 'message', { signal: late, close: ['close'] });
        return await talk(ws, inbox, agreed, late);
    } finally {
        listener.close();
    }
}

async function talk(ws, inbox, agreed, late) {
    const result = { agreed, phases: {}, pings: 0 };

    async function send(messages) {
        for (const { text, parts } of messages) {
            for (const part of parts.slice(0, -1)) ws.send(part, { binary: !text, fin: false });
            if (parts.length > 1) {
                const answered = once(ws, 'pong', { signal: late });
                ws.ping();
                await answered;
                result.pings += 1;
            }
            ws.send(parts.at(-1), { binary: !text, fin: true });
        }
    }

    async function receive(phase, messages) {
        for (const [at, { text, whole }] of messages.entries()) {
            const { value } = await inbox.next();
            assert(value, 'the connection was closed');
            const [data, isBinary] = value;
            const what = `${phase}, message ${at} of ${whole.length} bytes came back as`;
            assert.equal(isBinary, !text, `${what} another type`);
            assert(data.equals(whole), `${what} ${data.subarray(0, 60).toString('latin1')}`);
        }
    }

    const socket = ws._socket; // the one place where `ws` has it
    try {
        for (const [phase, messages] of MESSAGES) {
            const before = { out: socket.bytesWritten, in: socket.bytesRead };
            await Promise.all([send(messages), receive(phase, messages)]);
            result.phases[phase] = {
                payload: messages.reduce((sum, { whole }) => sum + whole.length, 0),
                out: socket.bytesWritten - before.out,
                in: socket.bytesRead - before.in,
            };
        }
        ws.close(1000);
        const [code] = await once(ws, 'close', { signal: late });
        return { ...result, closed: code };
    } finally {
        ws.on('error', () => {}); // what ending it early may raise says nothing new
        ws.terminate();
    }
}

// `ws` takes a `false` for a ban, and its names are in another case.
function settings(deflate) {
    const known = Object.entries(deflate).filter(([, value]) => value);
    const camelCase = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    const named = known.map(([name, value]) => [camelCase(name), value]);
    return { threshold: 0, ...Object.fromEntries(named) };
}

async function jobs() {
    for await (const line of createInterface({ input: process.stdin })) {
        const { url, deflate } = JSON.parse(line);
        const late = AbortSignal.timeout(JOB_MS);
        const options = settings(deflate);
        try {
            const work = url ? asClient(url, options, late) : asServer(options, late);
            console.log(JSON.stringify(await work));
        } catch (error) {
            const message = error.message.split('\n').join(' ');
            console.log(JSON.stringify({ error: `${error.name} ${message}` }));
        }
    }
}

jobs();

// The node `ws` peer: `peer.js client URL` checks an echo server, `peer.js server` is one.
//
// Its twin is peer.py, which says what is printed and what the server's paths mean.
'use strict';

const assert = require('node:assert/strict');
const { on, once } = require('node:events');
const { WebSocket, WebSocketServer } = require('ws');
const CASES = require('./cases.json');

const CHECK_MS = 10_000;

async function client(url) {
    async function check(name, body) {
        const ws = new WebSocket(url);
        const late = AbortSignal.timeout(CHECK_MS);
        const inbox = on(ws, 'message', { signal: late, close: ['close'] });
        try {
            await once(ws, 'open', { signal: late });
            await body(ws, inbox, late);
            console.log(`ok ${name}`);
        } catch (error) {
            console.log(`FAIL ${name}: ${error.name} ${error.message.split('\n').join(' ')}`);
        } finally {
            ws.on('error', () => {}); // what ending it early may raise says nothing new
            ws.terminate();
        }
    }

    async function receives(inbox, wanted) {
        const { value } = await inbox.next();
        assert(value, 'the connection was closed');
        const [data, isBinary] = value;
        assert.equal(isBinary, typeof wanted !== 'string', 'another type of message');
        assert(data.equals(Buffer.from(wanted)), `another payload, of ${data.length} bytes`);
    }

    // Collects pongs from now on: a ping must not be answered before anyone listens.
    function listenForPongs(ws, late) {
        const pongs = on(ws, 'pong', { signal: late, close: ['close'] });
        return async (wanted) => {
            const { value } = await pongs.next();
            assert(value, 'the connection was closed');
            assert(value[0].equals(Buffer.from(wanted)), `pong with another payload, ${value[0]}`);
        };
    }

    const echoes = (payload) => async (ws, inbox) => {
        ws.send(payload);
        await receives(inbox, payload);
    };

    for (const [name, text] of Object.entries(CASES.texts)) {
        await check(`text, ${name}`, echoes(text));
    }
    for (const size of CASES.binary_sizes) {
        await check(`binary, size ${size}`, echoes(octets(size)));
    }

    await check('fragmented text, within code points', async (ws, inbox) => {
        const whole = CASES.texts['multi-byte'];
        for (const byte of Buffer.from(whole)) {
            ws.send(Buffer.of(byte), { binary: false, fin: false });
        }
        ws.send('', { fin: true });
        await receives(inbox, whole);
    });
    await check('fragmented binary, empty ends', async (ws, inbox) => {
        ws.send(octets(0), { fin: false });
        ws.send(octets(70_000), { fin: false });
        ws.send(octets(0), { fin: true });
        await receives(inbox, octets(70_000));
    });
    await check('ping between fragments', async (ws, inbox, late) => {
        const pong = listenForPongs(ws, late);
        ws.send('be', { fin: false });
        ws.ping('within');
        await pong('within'); // before the message is complete
        ws.send('fore', { fin: true });
        await receives(inbox, 'before');
    });
    await check('pings with payload, between messages', async (ws, inbox, late) => {
        const pong = listenForPongs(ws, late);
        for (const size of [0, 1, 125]) {
            ws.ping(octets(size));
            await pong(octets(size));
        }
        const rounds = [...Array(10).keys()];
        for (const i of rounds) {
            ws.send(`before ${i}`);
            ws.ping(`ping ${i}`);
            ws.send(`after ${i}`);
        }
        for (const i of rounds) {
            await pong(`ping ${i}`);
            await receives(inbox, `before ${i}`);
            await receives(inbox, `after ${i}`);
        }
    });
    await check(`${CASES.pipelined} pipelined messages`, async (ws, inbox) => {
        for (let i = 0; i < CASES.pipelined; i++) ws.send(`message ${i}`);
        for (let i = 0; i < CASES.pipelined; i++) await receives(inbox, `message ${i}`);
    });

    for (const { code, reason } of CASES.closes) {
        await check(`close with ${code ?? 'no code'}`, async (ws, inbox, late) => {
            await echoes('last words')(ws, inbox);
            if (code) ws.close(code, reason);
            else ws.close();
            const [echoed] = await once(ws, 'close', { signal: late }); // TCP is closed by then
            assert.equal(echoed, code ?? 1005);
        });
    }
}

function server() {
    const listener = new WebSocketServer({
        host: '127.0.0.1', port: 0, perMessageDeflate: true,
    });
    listener.on('listening', () => {
        console.log(`listening on ws://127.0.0.1:${listener.address().port}`);
    });
    listener.on('connection', (ws, { url, socket }) => {
        ws.on('message', (data, isBinary) => {
            if (url === '/reset') socket.resetAndDestroy();
            else if (url === '/drop') socket.destroy();
            else ws.send(data, { binary: isBinary });
        });
        ws.on('error', () => {}); // always followed by 'close'
        ws.on('close', (code) => console.log(`closed ${code}`));
    });
}

function octets(size) {
    return Buffer.alloc(size, Buffer.from([...Array(256).keys()]));
}

const [role, ...args] = process.argv.slice(2);
({ client, server })[role](...args);

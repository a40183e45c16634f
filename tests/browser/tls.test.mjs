// Runs over https and wss: with a certificate of the run's own, behind Caddy and nginx; and what a page says
// that came without.
import assert from 'node:assert/strict'
import { access, readFile, writeFile } from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { once } from 'node:events'

import { assertExact, entries, samplesOf } from './support/herd.mjs'
import { IRIS_ROWS, irisJob } from './support/jobs.mjs'
import { PROJECT } from './support/program.mjs'
import { scenario } from './support/scenario.mjs'
import { until } from './support/waiting.mjs'

const SELF_SIGNED = ['--tls', 'self-signed']

/** A run with its own certificate, which listens where others can reach it. */
async function openRun(stage, epochs, args) {
  return stage.herd({ job: await irisJob(stage.folder, { epochs }), listen: '0.0.0.0:0', args })
}

/** The addresses to which a tab opens WebSockets, from now on. */
function sockets(tab) {
  const opened = []
  tab.page.on('websocket', (socket) => opened.push(socket.url()))
  return opened
}

/** A tab and a native worker train a run to its end. */
async function trainTogether(stage, herd, tab, epochs) {
  await tab.start()
  await tab.untilAccepted()
  const native = stage.worker(herd, 'native')
  const ledger = await herd.ledger()
  assert.equal(await native.end(), 0, native.tail())
  await assertExact(herd, ledger, { rows: IRIS_ROWS, epochs })
  assert.ok(samplesOf(ledger, 'tab') > 0, 'the tab has trained')
  for (const { rejected } of entries(ledger, 'tab')) {
    // Copies of units that the other one delivered first are as planned.
    const { duplicate, ended, ...refused } = rejected
    assert.deepEqual(refused, {}, 'nothing was refused')
  }
  return ledger
}

scenario('a run with its own certificate trains over https and wss', {}, async (stage) => {
  const epochs = 200
  const herd = await openRun(stage, epochs, SELF_SIGNED)
  assert.match(herd.origin, /^https:/)
  assert.match(herd.fingerprint, /^[0-9a-f]{64}$/)
  const tab = await stage.blank({ kind: 'believing', origins: [herd.origin] })
  const opened = sockets(tab)
  await tab.page.goto(herd.link({ device: 'cpu', name: 'tab' }))
  assert.ok(await tab.page.evaluate(() => isSecureContext), 'it is a secure context')
  await trainTogether(stage, herd, tab, epochs)
  const [socket] = opened
  assert.equal(socket, `${herd.address}/v1/worker`, 'its session is encrypted too')
})

scenario('who does not believe the certificate is not led on', { allow: [/ERR_CERT_AUTHORITY_INVALID/] }, async (stage) => {
  const herd = await openRun(stage, 10, SELF_SIGNED)
  const tab = await stage.blank({ origins: [herd.origin] })
  await assert.rejects(tab.page.goto(herd.link()), /ERR_CERT_AUTHORITY_INVALID/)
})

scenario('over https from another machine the graphics card trains', { minutes: 4 }, async (stage) => {
  const herd = await openRun(stage, 1_000_000, SELF_SIGNED)
  const tab = await stage.tab(herd, { kind: 'believing-webgpu', device: 'webgpu', name: 'tab' })
  await tab.start()
  await tab.untilAccepted(1, 180)
  assert.equal(await tab.id('device').getAttribute('data-kind'), 'gpu')
})

scenario('a page over plain http from another machine says why its processor trains', {}, async (stage) => {
  const herd = await openRun(stage, 1_000_000, ['--insecure'])
  if (new URL(herd.origin).hostname.startsWith('127.')) {
    stage.note('skipped: this machine has no network, and so no address that others see')
    return
  }
  const tab = await stage.tab(herd, { kind: 'webgpu', name: 'tab' })
  assert.ok(!(await tab.page.evaluate(() => isSecureContext)), 'it is no secure context')
  assert.match(await tab.untilNotice('no-webgpu'), /(?=.*plain http)(?=.*https link)(?=.*--tls self-signed)/s)
  await tab.start()
  await tab.untilAccepted()
  assert.equal(await tab.id('device').getAttribute('data-kind'), 'cpu')
})

/** The recipe of docs/OPERATING.md in this language. */
async function recipe(language) {
  const text = await readFile(path.join(PROJECT, 'docs/OPERATING.md'), 'utf8')
  const found = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'm').exec(text)
  assert.ok(found, `there is a recipe for ${language}`)
  return found[1]
}

/** Replaces what stands in a text once. */
function swap(text, old, text2) {
  assert.equal(text.split(old).length, 2, `${old} stands once in ${text}`)
  return text.replace(old, () => text2)
}

/** The path of a program, or nothing where it is not installed. */
async function installed(name) {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin']
  for (const folder of folders) {
    const file = path.join(folder, name)
    if (await access(file).then(() => true, () => false)) return file
  }
  return ''
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

async function untilListening(program, port) {
  await until(`${program.what} listens`, async () => {
    const socket = net.connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return true
    } catch {
      return false
    } finally {
      socket.destroy()
    }
  })
}

/** A run behind a proxy that `begin` sets up at a port: a tab and a native worker train it. */
async function behind(stage, begin) {
  const epochs = 100
  const args = ['--trusted-proxy', '127.0.0.1', '--allow-host', 'herd.example.org']
  const herd = await stage.herd({ job: await irisJob(stage.folder, { epochs }), args })
  const port = await freePort()
  const program = await begin(new URL(herd.origin).host, port)
  await untilListening(program, port)
  const through = `https://localhost:${port}`
  const tab = await stage.blank({ kind: 'believing', origins: [through] })
  const opened = sockets(tab)
  // A proxy may make its certificate when it is first asked.
  await until('the page comes', async () => {
    const response = await tab.page.goto(herd.link({ device: 'cpu', name: 'tab', through }))
    return response?.status() === 200
  })
  await trainTogether(stage, herd, tab, epochs)
  assert.equal(opened[0], `wss://localhost:${port}/v1/worker`)
}

/** What a proxy says when the coordinator has ended. */
const GONE = /console error: .*\b502\b/

scenario('a tab trains through Caddy', { allow: [GONE] }, async (stage) => {
  const caddy = await installed('caddy')
  if (caddy === '') return stage.note('skipped: caddy is not installed')
  await behind(stage, async (coordinator, port) => {
    const options = `{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tstorage file_system ${stage.folder}/caddy\n}\n`
    const site = swap(await recipe('caddy'), 'herd.example.org {', `https://localhost:${port} {\n\ttls internal`)
    const file = path.join(stage.folder, 'Caddyfile')
    await writeFile(file, options + swap(site, '127.0.0.1:7700', coordinator))
    return stage.program(caddy, ['run', '--config', file, '--adapter', 'caddyfile'])
  })
})

scenario('a tab trains through nginx', { allow: [GONE] }, async (stage) => {
  const nginx = await installed('nginx')
  if (nginx === '') return stage.note('skipped: nginx is not installed')
  // A certificate for localhost, as a run makes it.
  const made = await openRun(stage, 10, SELF_SIGNED)
  await behind(stage, async (coordinator, port) => {
    let site = swap(await recipe('nginx'), 'listen 443 ssl;', `listen 127.0.0.1:${port} ssl;`)
    site = swap(site, 'server_name herd.example.org;', 'server_name localhost;')
    const live = '/etc/letsencrypt/live/herd.example.org'
    site = swap(site, `${live}/fullchain.pem`, path.join(made.folder, 'tls-cert.pem'))
    site = swap(site, `${live}/privkey.pem`, path.join(made.folder, 'tls-key.pem'))
    site = swap(site, '127.0.0.1:7700', coordinator)
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${stage.folder}/${kind};`)
    const file = path.join(stage.folder, 'nginx.conf')
    const head = `daemon off;\nmaster_process off;\npid ${stage.folder}/nginx.pid;\nerror_log stderr;\nevents {}\n`
    await writeFile(file, `${head}http {\naccess_log off;\n${paths.join('\n')}\n${site}}\n`)
    return stage.program(nginx, ['-p', stage.folder, '-c', file, '-e', 'stderr'])
  })
})

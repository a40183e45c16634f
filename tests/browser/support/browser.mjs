// Chromium as tests use it: with or without WebGPU, shared by the scenarios of a file, or one of its own.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'

import { PROJECT } from './program.mjs'
import { until, within } from './waiting.mjs'

const { chromium } = createRequire(path.join(PROJECT, 'web/package.json'))('playwright-core')

const CHROMIUM = process.env.HERD_CHROMIUM ?? '/usr/bin/chromium'
const COMMON = ['--headless', '--no-sandbox']

const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']
/** What a person does who is warned of a certificate and goes on. */
const BELIEVES = '--ignore-certificate-errors'

/** Switches by kind. A plain Chromium without a graphics card has no WebGPU; SwiftShader is one in software. */
const SWITCHES = {
  plain: COMMON,
  webgpu: [...COMMON, ...WEBGPU],
  believing: [...COMMON, BELIEVES],
  'believing-webgpu': [...COMMON, ...WEBGPU, BELIEVES],
}

const LAUNCH_SECONDS = 30

/** Starts a Chromium that the caller closes. */
export function launch(kind) {
  return within(LAUNCH_SECONDS, `${CHROMIUM} starts`, chromium.launch({ executablePath: CHROMIUM, args: SWITCHES[kind] }))
}

const shared = new Map()

/** The Chromium that scenarios of this file share. */
export async function browser(kind) {
  const open = await shared.get(kind)
  if (open?.isConnected()) return open
  shared.set(kind, launch(kind))
  return shared.get(kind)
}

/** Ends the shared ones; each test file calls this when it is done. */
export async function closeBrowsers() {
  const open = await Promise.allSettled(shared.values())
  shared.clear()
  await Promise.all(open.map(({ value }) => value && within(LAUNCH_SECONDS, 'Chromium ends', value.close())))
}

/** A Chromium whose tabs can be hidden and frozen as a person's can: Playwright's own ones always count
 * as visible. It has one context. Gives the browser and how to end it. */
export async function launchFreezable() {
  const profile = await mkdtemp(path.join(os.tmpdir(), 'herd-profile-'))
  const args = [...COMMON, '--remote-debugging-port=0', `--user-data-dir=${profile}`, '--no-first-run', 'about:blank']
  const child = spawn(CHROMIUM, args, { stdio: 'ignore', detached: true })
  const end = () => {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It is gone.
    }
  }
  process.once('exit', end)
  const close = async () => {
    end()
    process.off('exit', end)
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
  try {
    const port = await until('Chromium says its port', async () => {
      const text = await readFile(path.join(profile, 'DevToolsActivePort'), 'utf8').catch(() => '')
      return /^(\d+)\n/.exec(text)?.[1]
    }, { seconds: LAUNCH_SECONDS })
    const connected = await within(LAUNCH_SECONDS, 'Chromium answers', chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true }))
    return { browser: connected, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The process ids of a kind ("GPU", "renderer") that belong to a browser. */
export async function processes(open, type) {
  const session = await within(10, 'a session with the browser', open.newBrowserCDPSession())
  try {
    const { processInfo } = await within(10, 'a list of processes', session.send('SystemInfo.getProcessInfo'))
    return processInfo.filter((info) => info.type === type).map((info) => info.id)
  } finally {
    await session.detach()
  }
}

/** Memory of a process that is really in use, in bytes; null where the system does not tell. */
export async function residentBytes(pid) {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(text)?.[1]
  return kilobytes === undefined ? null : Number(kilobytes) * 1024
}

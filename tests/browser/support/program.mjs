// A process of a test: its lines can be waited for, and it never outlives the test.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { GaveUp, until, within } from './waiting.mjs'

/** The project's folder. */
export const PROJECT = fileURLToPath(new URL('../../../', import.meta.url))

const running = new Set()

function killAll() {
  for (const program of running) program.kill()
}
process.on('exit', killAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1))

/** The path of one of the product's programs. */
export function binary(name) {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(PROJECT, 'target')
  return path.join(process.env.HERD_BIN ?? path.join(target, 'release'), name)
}

/** The environment without variables that set keys of a job. */
function environment() {
  // Programs are configured by flags; what only tests set comes from the test.
  const kept = Object.entries(process.env).filter(([name]) => !/^HERD_(?!TEST_)/.test(name))
  // Mesa's layer for choosing a display's GPU complains where there is no display.
  return { ...Object.fromEntries(kept), NODEVICE_SELECT: '1' }
}

export class Program {
  output = ''
  error = ''
  #child
  #ended

  /** Starts a program in a folder. `file` is one of the product's, or a path. */
  constructor(file, args, folder) {
    this.what = `${path.basename(file)} ${args.join(' ')}`
    const where = path.isAbsolute(file) ? file : binary(file)
    // A process group of its own, so that what it starts ends with it.
    this.#child = spawn(where, args, {
      cwd: folder,
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    running.add(this)
    this.#child.stdout.setEncoding('utf8').on('data', (text) => (this.output += text))
    this.#child.stderr.setEncoding('utf8').on('data', (text) => (this.error += text))
    const failed = once(this.#child, 'error').then(([error]) => {
      const hint = error.code === 'ENOENT' ? '; HERD_BIN is the folder of the built programs' : ''
      this.error += `cannot start: ${error.message}${hint}\n`
      return null
    })
    const closed = once(this.#child, 'close').then(([code]) => code)
    this.#ended = Promise.race([failed, closed]).then((code) => {
      running.delete(this)
      this.code = code
      this.endedAt = Date.now()
      return code
    })
    this.#ended.catch(() => {})
  }

  get pid() {
    return this.#child.pid
  }

  get ended() {
    return this.code !== undefined
  }

  /** Waits until standard error matches, and gives the match. */
  line(pattern, seconds = 60) {
    return until(`${this.what} says ${pattern}`, () => {
      const match = pattern.exec(this.error)
      if (!match && this.ended) throw new GaveUp(`${this.what} ended without ${pattern}\n${this.tail()}`)
      return match
    }, { seconds, interval: 20 })
  }

  /** Waits for its end and gives its exit code. */
  end(seconds = 120) {
    return within(seconds, `${this.what} ends`, this.#ended)
  }

  /** Ends it and all that it started, with no chance to say goodbye. */
  kill(signal = 'SIGKILL') {
    if (this.ended || this.pid === undefined) return
    try {
      process.kill(-this.pid, signal)
    } catch {
      // It has just ended by itself.
    }
  }

  /** What it said last. */
  tail(lines = 60) {
    const end = (text) => text.trimEnd().split('\n').slice(-lines).join('\n')
    return `--- ${this.what} (${this.ended ? `exit code ${this.code}` : 'running'})\n${end(this.error)}\n${end(this.output)}`
  }
}

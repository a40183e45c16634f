/** The dedicated Worker that trains: loads the wasm glue, hands commands in and events out. */
/** @import { Glue, WorkerCommand, WorkerEvent, StartOptions } from './types.d.ts' */

/** @type {Promise<Glue> | null} Settled once training has been started. */
let loading = null
/** After the last word nothing more is said: what follows a panic is noise. */
let over = false

/** @param {WorkerEvent} event */
function tell(event) {
  if (over) return
  if (event.type === 'ended') over = true
  self.postMessage(event)
}

/** @param {unknown} error */
function crashed(error) {
  const reason = error instanceof Error ? error.message : String(error)
  tell({ type: 'ended', kind: 'crashed', reason: reason || 'unknown error' })
}

/** Imported here, not at the top: a browser that blocks wasm must still load this file and hear why.
 * @param {string} url @param {WebAssembly.Module} module @param {StartOptions} options
 * @returns {Promise<Glue>} */
async function begin(url, module, options) {
  if (typeof WebAssembly !== 'object') throw new Error('WebAssembly is not available in this browser')
  const glue = /** @type {Glue} */ (await import(url))
  const exports = await glue.default({ module_or_path: module })
  // Once, before anything else: the linker leaves the module's constructors to who loads it.
  exports.__wasm_call_ctors()
  glue.start(options, tell)
  return glue
}

/** @param {WorkerCommand} command */
async function obey(command) {
  if (command.type === 'start') {
    loading ??= begin(command.glue, command.module, command.options)
    await loading
    return
  }
  // A command may come while wasm is still loading; it waits its turn.
  const glue = await loading
  if (command.type === 'duty') glue?.set_duty(command.value)
  else if (glue) glue.stop(command.reason)
  else tell({ type: 'ended', kind: 'stopped', reason: command.reason })
}

self.addEventListener('message', (message) => {
  obey(/** @type {WorkerCommand} */ (message.data)).catch(crashed)
})
self.addEventListener('messageerror', () => crashed('the program could not be handed to the worker'))
// A trap inside a wasm callback surfaces here and nowhere else.
self.addEventListener('unhandledrejection', (event) => {
  event.preventDefault()
  crashed(event.reason)
})

/** Fetches the wasm program and compiles it once, for every Worker of the page. */
import { megabytes } from './words.js'

/** @typedef {{ module: WebAssembly.Module, glue: string }} Program */

/** @type {Promise<Program> | null} */
let loading = null

/** Later starts get the same program; a failed load may be tried again.
 * @param {(words: string) => void} onProgress @returns {Promise<Program>} */
export function loadProgram(onProgress) {
  loading ??= load(onProgress).catch((error) => {
    loading = null
    throw error
  })
  return loading
}

/** @param {(words: string) => void} onProgress @returns {Promise<Program>} */
async function load(onProgress) {
  const base = document.querySelector('meta[name="herd-wasm"]')?.getAttribute('content') ?? ''
  const response = await fetch(`${base}/worker_wasm_bg.wasm`).catch(() => {
    throw new Error('The coordinator did not answer. Try again in a moment.')
  })
  if (!response.ok) throw new Error(`The coordinator does not have the program (status ${response.status}).`)
  const module = await compile(counted(response, onProgress), onProgress)
  return { module, glue: new URL(`${base}/worker_wasm.js`, location.href).href }
}

/** The same response, which tells how much of it has come. @param {Response} response
 * @param {(words: string) => void} onProgress @returns {Response} */
function counted(response, onProgress) {
  if (!response.body || typeof TransformStream !== 'function') return response
  let bytes = 0
  const counter = new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.byteLength
      onProgress(`Fetching the program: ${megabytes(bytes)}`)
      controller.enqueue(chunk)
    },
  })
  // Compiling while it streams wants this type, whatever the server said.
  return new Response(response.body.pipeThrough(counter), { headers: { 'Content-Type': 'application/wasm' } })
}

/** @param {Response} response @param {(words: string) => void} onProgress */
async function compile(response, onProgress) {
  try {
    if (typeof WebAssembly.compileStreaming === 'function') return await WebAssembly.compileStreaming(response)
    const bytes = await response.arrayBuffer()
    onProgress('Preparing the program')
    return await WebAssembly.compile(bytes)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`The program arrived but could not be prepared: ${reason}`, { cause: error })
  }
}

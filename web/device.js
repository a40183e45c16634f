/** What this browser can do: WebAssembly at all, and WebGPU well enough to train on; and if not, why not. */
/** @import { Ability } from './types.d.ts' */

/** The part of WebGPU that the check needs; not every type library knows it.
 * @typedef {{ features: { has(name: string): boolean } }} Adapter
 * @typedef {{ requestAdapter(): Promise<Adapter | null> }} Gpu */

/** The smallest module there is: magic number and version. */
const EMPTY_MODULE = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
/** Some drivers never answer; a person should not wait for them. */
const ADAPTER_TIMEOUT_MS = 8000

/** @returns {Promise<Ability>} */
export async function checkAbility() {
  const wasmReason = checkWasm()
  const gpuReason = await checkGpu()
  return { wasm: wasmReason === '', gpu: gpuReason === '', wasmReason, gpuReason }
}

/** How many threads the processor has, as far as the browser tells. */
export function cores() {
  const reported = navigator.hardwareConcurrency
  return Number.isInteger(reported) && reported > 0 ? reported : 2
}

function checkWasm() {
  if (typeof WebAssembly !== 'object') {
    return 'This browser has no WebAssembly, or it is switched off (for example by a lockdown mode). Herd computes with it.'
  }
  try {
    new WebAssembly.Module(EMPTY_MODULE)
    return ''
  } catch {
    return 'Something blocks WebAssembly in this browser: a security setting, an extension, or a rule of your organisation. Herd computes with it.'
  }
}

/** @returns {Promise<string>} why WebGPU cannot be used; empty when it can */
async function checkGpu() {
  const gpu = /** @type {{ gpu?: Gpu }} */ (/** @type {unknown} */ (navigator)).gpu
  if (!gpu) {
    return isSecureContext
      ? 'This browser does not offer WebGPU, the way for a page to use the graphics card.'
      : 'This page came over plain http from another machine, and browsers offer the graphics card only to pages over https or from this machine itself. Whoever runs the coordinator can give you an https link: herd train --tls self-signed makes one.'
  }
  try {
    const adapter = await Promise.race([gpu.requestAdapter(), timeout()])
    if (adapter === 'timeout') return 'The graphics driver does not answer.'
    if (!adapter) return 'The browser knows WebGPU but found no graphics card that it may use.'
    // Without it the GPU code cannot even start: it measures its own work with timestamps.
    if (!adapter.features.has('timestamp-query')) {
      return 'The graphics card, or its driver, lacks the timestamps (timestamp-query) that Herd needs.'
    }
    return ''
  } catch (error) {
    return `The browser could not open the graphics card (${error instanceof Error ? error.message : String(error)}).`
  }
}

/** @returns {Promise<'timeout'>} */
function timeout() {
  return new Promise((resolve) => setTimeout(() => resolve('timeout'), ADAPTER_TIMEOUT_MS))
}

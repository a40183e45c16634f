/** The dedicated Worker that predicts: loads the wasm glue once, then models as they come. */
/** @import { PredictAnswer, PredictCommand, PredictGlue } from './answers.d.ts' */

/** @type {PredictGlue | null} */
let glue = null
/** @type {InstanceType<PredictGlue['Predictor']> | null} */
let model = null
/** One command after the other: a model is not replaced while it computes. */
let turn = Promise.resolve()

/** @param {PredictCommand} command @returns {Promise<PredictAnswer>} */
async function obey(command) {
  if (command.type === 'load') {
    glue ??= await begin(command.glue, command.module)
    const next = new glue.Predictor(command.spec, command.parameters)
    model?.free()
    model = next
    return { type: 'loaded' }
  }
  if (!model) throw new Error('there is no model yet')
  return { type: 'predicted', number: command.number, values: await model.predict(command.values) }
}

/** @param {string} url @param {WebAssembly.Module} module @returns {Promise<PredictGlue>} */
async function begin(url, module) {
  const loaded = /** @type {PredictGlue} */ (await import(url))
  const exports = await loaded.default({ module_or_path: module })
  // Once, before anything else: the linker leaves the module's constructors to who loads it.
  exports.__wasm_call_ctors()
  return loaded
}

self.addEventListener('message', (message) => {
  turn = turn
    .then(() => obey(/** @type {PredictCommand} */ (message.data)))
    .catch((error) => /** @type {PredictAnswer} */ ({ type: 'failed', reason: error instanceof Error ? error.message : String(error) }))
    .then((answer) => self.postMessage(answer))
})

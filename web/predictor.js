/** The network in this browser: fetches it, keeps up with its training, and has a Web Worker compute with it. */
/** @import { Api } from './api.js' */
/** @import { PredictAnswer, PredictCommand, PredictorInfo } from './answers.d.ts' */
import { loadProgram } from './program.js'

/** A prediction takes milliseconds; a Web Worker that says nothing for so long has died. */
const ANSWER_MS = 30_000

export class PredictorHost {
  /** @type {PredictorInfo | null} What is loaded. */
  info = null
  #api
  #worker = new Worker(new URL('./predict-worker.js', import.meta.url), { type: 'module' })
  /** @type {((answer: PredictAnswer) => void)[]} Who waits for an answer, in the order of the questions. */
  #waiting = []
  #number = 0

  /** @param {Api} api */
  constructor(api) {
    this.#api = api
    this.#worker.onmessage = (message) => this.#waiting.shift()?.(/** @type {PredictAnswer} */ (message.data))
    this.#worker.onerror = (event) => {
      event.preventDefault()
      for (const hear of this.#waiting.splice(0)) hear({ type: 'failed', reason: 'The program in this browser has ended.' })
    }
  }

  /** Fetches the newest model that was kept; says whether it is another one than before.
   * @param {(words: string) => void} onProgress */
  async refresh(onProgress) {
    /** @type {PredictorInfo} */
    const info = await this.#api.json('/v1/predictor')
    if (info.digest === this.info?.digest) return false
    const [program, response] = await Promise.all([loadProgram(onProgress), this.#api.get('/v1/predictor/parameters')])
    const parameters = new Uint8Array(await response.arrayBuffer())
    // A better model was kept between the two answers: the next look gets both of one.
    if (response.headers.get('etag') !== `"${info.digest}"`) return false
    await this.#ask({ type: 'load', ...program, spec: JSON.stringify(info.spec), parameters }, [parameters.buffer])
    this.info = info
    return true
  }

  /** Probabilities of the classes, or values. @param {Float32Array} values @returns {Promise<Float32Array>} */
  async predict(values) {
    this.#number += 1
    const answer = await this.#ask({ type: 'predict', number: this.#number, values })
    if (answer.type !== 'predicted') throw new Error('the answer belongs to no question')
    return answer.values
  }

  /** @param {PredictCommand} command @param {Transferable[]} [transfer] @returns {Promise<PredictAnswer>} */
  #ask(command, transfer = []) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('The program in this browser does not answer.')), ANSWER_MS)
      this.#waiting.push((answer) => {
        clearTimeout(timer)
        if (answer.type === 'failed') reject(new Error(answer.reason))
        else resolve(answer)
      })
      this.#worker.postMessage(command, transfer)
    })
  }
}

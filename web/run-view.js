/** The run itself: charts with their words, figures, and a table of its epochs. */
/** @import { Status } from './types.d.ts' */
import { CourseView } from './course.js'
import { box, setRows, show } from './dom.js'
import { EpochTable } from './epochs.js'
import * as words from './words.js'

export class RunView {
  #course = new CourseView()
  #epochs = new EpochTable()

  /** @param {Status} status */
  show(status) {
    const drawn = this.#course.show(status)
    show(box('loss-chart'), drawn)
    show(box('loss-key'), drawn)
    setRows(box('run-facts'), facts(status))
    this.#epochs.show(status.records)
  }
}

/** @param {Status} status @returns {[string, string, string?][]} */
function facts(status) {
  const over = status.state === 'ended'
  return [
    ['Samples trained', words.count(status.samples), 'run-samples'],
    ['Samples in all', words.count(status.total_samples)],
    ['Samples per second', over ? '–' : words.rate(status.samples_per_second), 'run-speed'],
    ['Time so far', words.duration(status.seconds)],
    ['Parameters', words.count(status.parameters), 'parameters'],
  ]
}

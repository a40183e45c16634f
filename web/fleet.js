/** All Workers of this page: how many, on which device, paused or not; adds up what they do. */
/** @import { DeviceChoice, DeviceEvent, EndKind, EndedEvent, WorkerEvent, StartOptions } from './types.d.ts' */
/** @import { Hooks } from './member.js' */
import { SLOTS_PER_TAB } from './identity.js'
import { Member } from './member.js'
import { Tally } from './tally.js'

/** So many failures in a row, and the graphics card is given up. */
const GPU_FAILURES = 5

/** @typedef {{
 *   module: WebAssembly.Module,
 *   glue: string,
 *   base: Omit<StartOptions, 'slot' | 'device' | 'duty'>,
 *   tab: number,
 *   choice: DeviceChoice,
 *   gpu: boolean,
 *   cpuWorkers: number,
 *   duty: number,
 *   tally: Tally,
 *   onChange: () => void,
 *   onEnd: (kind: EndKind, reason: string) => void,
 * }} Plan */

export class Fleet {
  /** @type {Member[]} */
  members = []
  /** @type {DeviceEvent | null} What the first worker found out about the device. */
  device = null
  /** Why the graphics card was given up; empty when it was not. */
  fallback = ''
  /** Why a further worker was turned away; empty when none was. */
  turnedAway = ''
  paused = false
  cpuWorkers
  #plan
  #tally
  /** What the first worker is told to use; once it has measured, it need not measure again. */
  #lead
  #duty
  #over = false
  /** @type {Map<Member, Promise<unknown>>} Members that are saying goodbye. */
  #leaving = new Map()
  /** @type {Hooks} */
  #hooks

  /** @param {Plan} plan */
  constructor(plan) {
    this.#plan = plan
    this.#tally = plan.tally
    this.#duty = plan.duty
    this.cpuWorkers = plan.cpuWorkers
    this.#lead = plan.choice === 'auto' && !plan.gpu ? 'cpu' : plan.choice
    this.#hooks = {
      module: plan.module,
      glue: plan.glue,
      options: (index) => this.#options(index),
      onEvent: (member, event) => this.#hear(member, event),
      onFailure: (member, reason) => this.#failed(member, reason),
      onFinal: (member, event) => this.#final(member, event),
    }
    this.#add()
  }

  /** @param {number} index @returns {StartOptions} */
  #options(index) {
    const slot = this.#plan.tab * SLOTS_PER_TAB + index
    const device = index === 0 ? this.#lead : 'cpu'
    return { ...this.#plan.base, slot, device, duty: this.#duty }
  }

  /** @param {number} value */
  setDuty(value) {
    this.#duty = value
    for (const member of this.members) member.setDuty(value)
  }

  /** @param {number} wanted */
  setCpuWorkers(wanted) {
    this.cpuWorkers = wanted
    this.turnedAway = ''
    this.#fit()
  }

  /** Every lease goes back at once; what was contributed stays. */
  pause() {
    this.paused = true
    this.#dismissAll('paused by its user')
    this.#tally.rest()
  }

  async resume() {
    this.paused = false
    await this.farewell()
    if (!this.paused && !this.#over && this.members.length === 0) this.#add()
    this.#plan.onChange()
  }

  /** @param {string} reason */
  stop(reason) {
    this.#over = true
    this.#dismissAll(reason)
    this.#tally.rest()
  }

  /** Resolved when every dismissed worker is gone and its slot is free. */
  async farewell() {
    await Promise.all(this.#leaving.values())
  }

  /** How many are training at this moment. */
  get training() {
    return this.members.filter((member) => member.state === 'training').length
  }

  get memory() {
    return this.members.reduce((sum, member) => sum + member.memory, 0)
  }

  get pending() {
    return this.members.reduce((sum, member) => sum + member.pending, 0)
  }

  /** One worker until the first knows the device; on processors as many as were asked for. */
  #fit() {
    if (this.#over || this.paused || this.members.length === 0) return
    const wanted = this.device?.kind === 'cpu' ? this.cpuWorkers : 1
    while (this.members.length > wanted) this.#dismiss(/** @type {Member} */ (this.members.at(-1)), 'fewer workers wanted')
    while (this.members.length < wanted && this.#add()) {}
    this.#plan.onChange()
  }

  /** Adds a member on the lowest free slot; false when every slot is taken. */
  #add() {
    const taken = new Set([...this.members, ...this.#leaving.keys()].map((member) => member.index))
    let index = 0
    while (taken.has(index)) index += 1
    if (index >= SLOTS_PER_TAB) return false
    this.members.push(new Member(index, this.#hooks))
    return true
  }

  /** @param {Member} member @param {string} reason */
  #dismiss(member, reason) {
    this.members = this.members.filter((other) => other !== member)
    this.#leaving.set(member, member.stop(reason).then(() => this.#leaving.delete(member)))
  }

  /** @param {string} reason */
  #dismissAll(reason) {
    for (const member of this.members) this.#dismiss(member, reason)
    this.#plan.onChange()
  }

  /** @param {Member} member @param {Exclude<WorkerEvent, EndedEvent>} event */
  #hear(member, event) {
    if (event.type === 'progress') this.#tally.progress(event, performance.now())
    if (event.type === 'outcome') this.#tally.outcome(event)
    if (event.type === 'device' && member.index === 0) this.#hearDevice(event)
    this.#plan.onChange()
  }

  /** @param {DeviceEvent} event */
  #hearDevice(event) {
    // Only the first start measures; its figures stay worth showing after a pause.
    const same = this.device?.kind === event.kind ? this.device : null
    this.device = { ...same, ...event }
    this.#lead = event.kind === 'cpu' ? 'cpu' : 'webgpu'
    this.#fit()
  }

  /** @param {Member} member @param {string} reason */
  #failed(member, reason) {
    if (member.index === 0 && this.#lead !== 'cpu' && member.failures >= GPU_FAILURES) {
      if (this.#plan.choice === 'auto') {
        this.#fallBack(member, reason)
      } else {
        this.#finish('unable', `The graphics card failed ${GPU_FAILURES} times in a row. The last time: ${reason}`)
      }
    }
    this.#plan.onChange()
  }

  /** @param {Member} member @param {EndedEvent} event */
  #final(member, event) {
    if (event.kind === 'unable' && member.index === 0 && this.#lead !== 'cpu' && this.#plan.choice === 'auto') {
      this.#fallBack(member, event.reason)
      member.restartIn(0, event.reason)
      this.#plan.onChange()
      return
    }
    this.members = this.members.filter((other) => other !== member)
    const others = this.members.some((other) => other.state === 'training' || other.state === 'waiting')
    if (event.kind !== 'ended' && others) {
      // One too many is no reason to send the others home.
      this.turnedAway = event.reason
      this.cpuWorkers = this.members.length
      this.#plan.onChange()
      return
    }
    this.#finish(event.kind, event.reason)
  }

  /** @param {Member} member @param {string} reason */
  #fallBack(member, reason) {
    this.#lead = 'cpu'
    this.fallback = reason
    this.device = null
    member.failures = 0
  }

  /** @param {EndKind} kind @param {string} reason */
  #finish(kind, reason) {
    if (this.#over) return
    this.stop(reason)
    this.#plan.onEnd(kind, reason)
  }
}

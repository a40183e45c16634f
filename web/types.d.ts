/** The shapes that cross a border: from the wasm glue, from the coordinator, from part to part of the page. */

/** What a person, or the link, may ask for; `auto` measures both. */
export type DeviceChoice = 'cpu' | 'webgpu' | 'auto'

/** Options of the glue's `start`. */
export interface StartOptions {
  /** `ws://host/v1/worker` */
  url: string
  /** `http://host/v1/shards/` */
  shards: string
  token: string
  /** 32 hex digits: this browser profile. */
  identity: string
  /** u16: which of the identity's parallel workers. */
  slot: number
  name: string
  device: DeviceChoice
  /** Part of the time that is spent computing, 0.05 to 1. */
  duty: number
}

/** The wasm-bindgen module that worker.js imports. */
export interface Glue {
  default(input: { module_or_path: WebAssembly.Module }): Promise<{ __wasm_call_ctors(): void }>
  start(options: StartOptions, onEvent: (event: WorkerEvent) => void): void
  set_duty(value: number): void
  stop(reason: string): void
}

/** What the page says to worker.js. */
export type WorkerCommand =
  | { type: 'start'; module: WebAssembly.Module; glue: string; options: StartOptions }
  | { type: 'duty'; value: number }
  | { type: 'stop'; reason: string }

export type ActiveState = 'connecting' | 'preparing' | 'waiting' | 'training'
export type EndKind = 'ended' | 'refused' | 'unable' | 'stopped' | 'device-lost' | 'crashed'

export interface DeviceEvent {
  type: 'device'
  kind: 'cpu' | 'gpu'
  name: string
  /** Steps per second, where both were measured. */
  cpu?: number
  gpu?: number
}
export interface ProgressEvent {
  type: 'progress'
  /** Trained since the last event. */
  samples: number
  loss?: number
  /** Bytes. */
  memory: number
}
export interface OutcomeEvent {
  type: 'outcome'
  merged: boolean
  samples: number
  reason?: string
}
export interface LostEvent {
  type: 'lost'
  reason: string
  /** Seconds. */
  retry_in: number
}
export interface EndedEvent {
  type: 'ended'
  kind: EndKind
  reason: string
}

/** What worker.js, and through it the glue, says to the page. */
export type WorkerEvent =
  | { type: 'state'; state: ActiveState; detail?: string }
  | DeviceEvent
  | { type: 'run'; name: string; parameters: number }
  | ProgressEvent
  | OutcomeEvent
  | LostEvent
  | EndedEvent

/** One evaluation of the master, at the end of an epoch. */
export interface EpochRecord {
  epoch: number
  samples: number
  seconds: number
  training_loss: number | null
  training_accuracy: number | null
  training_mae: number | null
  validation_loss: number | null
  validation_accuracy: number | null
  validation_mae: number | null
}

/** Answer of `GET /v1/status`. */
export interface Status {
  name: string
  state: 'waiting' | 'training' | 'ended'
  reason?: string | null
  epoch: number
  epochs: number
  samples: number
  total_samples: number
  samples_per_second: number | null
  seconds: number
  workers: number
  min_workers: number
  parameters: number
  curve: [number, number][]
  records: EpochRecord[]
  test_accuracy?: number | null
  test_loss?: number | null
  test_mae?: number | null
}

/** How the coordinator answers: not asked yet, well, not at the moment, not for long, or not to this token. */
export type Reach = 'unknown' | 'good' | 'silent' | 'gone' | 'invalid'

/** Where the page is; one at a time. */
export type Phase = 'idle' | 'starting' | 'running' | 'paused' | 'stopped' | 'ended' | 'blocked'

/** What the page knows about WebGPU and WebAssembly here. */
export interface Ability {
  wasm: boolean
  gpu: boolean
  /** Plain words for what is missing; empty when nothing is. */
  wasmReason: string
  gpuReason: string
}

/** Why one worker of this page is not computing at the moment. */
export interface Trouble {
  kind: 'lost' | 'restart'
  reason: string
  /** `performance.now()` of the next attempt. */
  until: number
  attempt: number
}

/** One thing that the person should know; `until` adds a countdown. */
export interface Notice {
  text: string
  /** `performance.now()` of what the notice waits for. */
  until?: number | undefined
}

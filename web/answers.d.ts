/** The shapes of `/v1/live` and of the other answers that the dashboard and the prediction page read. */
import type { EpochRecord } from './types.d.ts'

export interface LiveWorker {
  number: number
  /** Chosen by a stranger. */
  name: string
  client: 'native' | 'browser' | 'other'
  device: string
  state: 'training' | 'idle' | 'away' | 'gone'
  samples_per_second: number | null
  /** Versions that were merged while it trained, on average. */
  staleness: number | null
  merged: number
  samples: number
  /** Part of the run's merged samples, 0 to 1. */
  share: number
  /** Part of its time spent training, 0 to 1. */
  busy: number | null
  rejected: Record<string, number>
  seen_seconds_ago: number | null
}

/** How a run stands. */
export interface View {
  name: string
  run: string
  version_of_herd: string
  state: 'waiting' | 'training' | 'paused' | 'ended'
  reason: string | null
  mode: string
  classes: boolean
  epoch: number
  epochs: number
  samples: number
  total_samples: number
  samples_per_second: number | null
  mean_samples_per_second: number | null
  seconds: number
  seconds_left: number | null
  parameters: number
  versions: number
  /** What the next lease gets, and the same before the schedule. */
  learning_rate: number
  base_learning_rate: number
  batch_size: number
  min_workers: number
  units: { done: number; out: number; open: number; arrived: number; again: number }
  leases: { expired: number; released: number; duplicate: number; late: number; backup: number }
  rejected: Record<string, number>
  dropped: Record<string, number>
  samples_re_leased: number
  bytes_up: number
  bytes_down: number
  viewers: number
  incarnation: number
  checkpoint: { number: number; seconds_ago: number } | null
  best: { epoch: number; metric: string; value: number } | null
  test: { accuracy?: number | null; loss?: number | null; mae?: number | null } | null
  workers: LiveWorker[]
  workers_total: number
  workers_connected: number
}

export interface LiveEvent {
  number: number
  /** Of training time. */
  seconds: number
  kind: string
  text: string
}

/** Samples, loss, seconds. */
export type CurvePoint = [number, number, number]
/** End in seconds, samples per second, workers. */
export type HistoryPoint = [number, number, number]

/** What a new viewer gets. */
export interface Whole {
  view: View
  records: EpochRecord[]
  curve: CurvePoint[]
  history: HistoryPoint[]
  events: LiveEvent[]
}

/** What changed; a list of points is there as a whole, as what follows from an index, or not at all. */
export interface Tick {
  view: View
  records?: EpochRecord[] | null
  curve?: CurvePoint[] | { from: number; points: CurvePoint[] } | null
  history?: HistoryPoint[] | { from: number; points: HistoryPoint[] } | null
  events?: LiveEvent[] | null
}

/** One way to join, as `GET /v1/join` gives it. */
export interface Invitation {
  label: string
  page: string
  worker: string
  qr: { size: number; path: string }
}

/** One entry of `GET /v1/runs`. */
export interface RunEntry {
  run: string
  name: string
  state: string
  started: string | number | null
  epochs: number | null
  samples: number | null
  best: { metric: string; value: number } | null
  current: boolean
}

/** A column of a table: a number, or one of some words, which is a value for each of them. */
export interface Column {
  name: string
  low?: number
  high?: number
  mean?: number
  words?: string[]
}

/** Answer of `GET /v1/predictor`. */
export interface PredictorInfo {
  spec: unknown
  /** Nothing where validation chose none: it is the network of the end. */
  version: number | null
  epoch: number | null
  digest: string
  classes: string[] | null
  input:
    | { kind: 'image'; height: number; width: number; channels: number }
    | { kind: 'row'; columns: Column[] }
  target: string | null
}

/** What the prediction page says to predict-worker.js, and what it hears. */
export type PredictCommand =
  | { type: 'load'; module: WebAssembly.Module; glue: string; spec: string; parameters: Uint8Array }
  | { type: 'predict'; number: number; values: Float32Array }
export type PredictAnswer =
  | { type: 'loaded' }
  | { type: 'predicted'; number: number; values: Float32Array }
  | { type: 'failed'; reason: string }

/** The wasm-bindgen module as predict-worker.js uses it. */
export interface PredictGlue {
  default(input: { module_or_path: WebAssembly.Module }): Promise<{ __wasm_call_ctors(): void }>
  Predictor: new (spec: string, parameters: Uint8Array) => {
    predict(values: Float32Array): Promise<Float32Array>
    free(): void
  }
}

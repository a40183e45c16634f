/** Entry of the join page: reads the link, looks at the computer, and wires buttons, Workers and coordinator together. */
/** @import { EndKind } from './types.d.ts' */
/** @import { Settings } from './page.js' */
/** @import { Situation } from './situation.js' */
import { Awake, Background } from './awake.js'
import { checkAbility, cores } from './device.js'
import { box, element, show } from './dom.js'
import { Fleet } from './fleet.js'
import { SLOTS_PER_TAB, claimTab, identity } from './identity.js'
import { readQuery, takeToken, watchForNewLink } from './link.js'
import { Page } from './page.js'
import { loadProgram } from './program.js'
import { StatusPoller } from './status.js'
import { profile } from './store.js'
import { Tally } from './tally.js'
import { clean, sentence } from './words.js'

const NAME = 'herd-name'
/** Events come in bursts; more often than this nobody can read. */
const RENDER_MS = 200
const TICK_MS = 500
const WATCH = 'You can still watch the run here.'

const token = takeToken()
watchForNewLink()
const query = readQuery()
const page = new Page()
const awake = new Awake()
const background = new Background()
const name = element('name', HTMLInputElement)

/** @type {Settings} */
const settings = {
  cores: cores(),
  cpuMost: Math.min(SLOTS_PER_TAB, Math.max(1, cores() - 1)),
  cpuWorkers: Math.min(SLOTS_PER_TAB, Math.max(1, Math.floor(cores() / 2))),
  duty: 1,
}
/** @type {Situation} */
const situation = {
  phase: 'idle',
  choice: query.device,
  ability: null,
  reach: 'unknown',
  status: null,
  fleet: null,
  tally: new Tally(),
  error: null,
  background: '',
  identity: identity(),
  tab: null,
  loading: '',
}
const poller = new StatusPoller(token, hearStatus)
/** @type {Promise<number> | null} */
let tabClaim = null
/** @type {ReturnType<typeof setTimeout> | null} */
let rendering = null

function render() {
  if (rendering !== null) clearTimeout(rendering)
  rendering = null
  situation.background = background.note
  situation.reach = poller.reach
  if (situation.fleet) settings.cpuWorkers = situation.fleet.cpuWorkers
  awake.set(awake.wanted, situation.phase === 'running')
  page.render(situation, settings)
}

function renderSoon() {
  rendering ??= setTimeout(render, RENDER_MS)
}

/** @param {string} title @param {string} text */
function block(title, text) {
  situation.fleet?.stop('the page cannot go on')
  situation.error = { title, text }
  situation.phase = 'blocked'
  render()
}

function hearStatus() {
  situation.status = poller.latest
  if (poller.reach === 'invalid') {
    block('This link is not valid', 'The coordinator does not know it, or no longer accepts it. Ask whoever gave it to you for a new one.')
    return
  }
  const over = poller.latest?.state === 'ended'
  if (over && situation.phase !== 'ended' && situation.phase !== 'blocked') {
    situation.fleet?.stop('the run is over')
    situation.phase = 'ended'
  }
  render()
}

/** @param {EndKind} kind @param {string} reason */
function hearEnd(kind, reason) {
  if (kind === 'ended') {
    situation.phase = 'ended'
    poller.ask()
  } else {
    const title = kind === 'refused' ? 'The coordinator turned this computer away' : 'This computer cannot train this network'
    situation.error = { title, text: sentence(reason, 400) || 'It gave no reason.' }
    situation.phase = 'stopped'
  }
  render()
}

async function start() {
  if (situation.phase !== 'idle' && situation.phase !== 'stopped') return
  situation.error = null
  situation.phase = 'starting'
  situation.loading = 'Fetching the program'
  profile.set(NAME, name.value)
  render()
  try {
    situation.tab ??= await (tabClaim ??= claimTab())
    const program = await loadProgram((loaded) => {
      situation.loading = loaded
      renderSoon()
    })
    await situation.fleet?.farewell()
    // Stopped, or found out that the run is over, while it was loading.
    if (/** @type {string} */ (situation.phase) !== 'starting') return
    situation.fleet = startFleet(program, situation.tab)
    situation.phase = 'running'
  } catch (error) {
    if (/** @type {string} */ (situation.phase) !== 'starting') return
    situation.phase = 'idle'
    situation.error = {
      title: 'The program could not be loaded',
      text: error instanceof Error ? error.message : String(error),
    }
  }
  render()
}

/** @param {{ module: WebAssembly.Module, glue: string }} program @param {number} tab */
function startFleet(program, tab) {
  const socket = location.protocol === 'https:' ? 'wss:' : 'ws:'
  return new Fleet({
    ...program,
    base: {
      url: `${socket}//${location.host}/v1/worker`,
      shards: `${location.origin}/v1/shards/`,
      token,
      identity: situation.identity,
      name: clean(name.value, 40),
    },
    tab,
    choice: situation.choice,
    gpu: situation.ability?.gpu ?? false,
    cpuWorkers: settings.cpuWorkers,
    duty: settings.duty,
    tally: situation.tally,
    onChange: renderSoon,
    onEnd: hearEnd,
  })
}

function pauseOrResume() {
  const { fleet } = situation
  if (!fleet) return
  if (situation.phase === 'running') {
    situation.phase = 'paused'
    fleet.pause()
  } else if (situation.phase === 'paused') {
    situation.phase = 'running'
    void fleet.resume()
  }
  render()
}

function stop() {
  situation.fleet?.stop('stopped by its user')
  situation.phase = 'stopped'
  render()
}

function wire() {
  name.value = query.name || clean(profile.get(NAME), 40)
  element('begin-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault()
    void start()
  })
  box('pause').addEventListener('click', pauseOrResume)
  box('stop').addEventListener('click', stop)
  const intensity = element('intensity', HTMLInputElement)
  intensity.addEventListener('input', () => {
    settings.duty = intensity.valueAsNumber / 100
    situation.fleet?.setDuty(settings.duty)
    render()
  })
  const cpuWorkers = element('cpu-workers', HTMLInputElement)
  cpuWorkers.addEventListener('input', () => {
    settings.cpuWorkers = cpuWorkers.valueAsNumber
    situation.fleet?.setCpuWorkers(settings.cpuWorkers)
    render()
  })
  const screen = element('awake', HTMLInputElement)
  show(box('awake-row'), Awake.supported)
  screen.addEventListener('change', () => awake.set(screen.checked, situation.phase === 'running'))
  // Says goodbye, so that the lease need not run into its deadline.
  addEventListener('pagehide', () => situation.fleet?.stop('its tab was closed'))
  // Back out of the browser's cache with all Workers gone: begin anew.
  addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload()
  })
}

async function open() {
  wire()
  if (token === '') {
    const text = 'A link to a run ends in # and a token, and this address has none. Open the whole link as you were given it.'
    block('This address is only half a link', text)
    return
  }
  render()
  setInterval(render, TICK_MS)
  poller.ask()
  situation.ability = await checkAbility()
  if (!situation.ability.wasm) {
    block('This browser cannot take part', `${situation.ability.wasmReason} ${WATCH}`)
  } else if (situation.choice === 'webgpu' && !situation.ability.gpu) {
    block('The graphics card cannot be used here', `${situation.ability.gpuReason} The link asks for the graphics card and nothing else. ${WATCH}`)
  }
  render()
}

void open()

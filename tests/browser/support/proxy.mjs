// A network that can fail: a TCP proxy in front of the coordinator. Offline mode of a browser would leave
// open WebSockets working.
import { once } from 'node:events'
import net from 'node:net'

const HOST = '127.0.0.1'

export class Proxy {
  /** Bytes that came while the network stood still, and wait. */
  heldBytes = 0
  /** Connections that were torn down by a cut. */
  destroyed = 0
  #target
  #port = 0
  #server
  /** Both ends of each connection that is open. */
  #pairs = new Set()
  /** Connections that were made while the network stood still. */
  #pending = new Set()
  #stalled = false

  /** Opens a proxy on any free port in front of `origin`. */
  static async open(origin) {
    const proxy = new Proxy()
    proxy.#target = Number(new URL(origin).port)
    await proxy.#listen(0)
    return proxy
  }

  get origin() {
    return `http://${HOST}:${this.#port}`
  }

  async #listen(port) {
    this.#server = net.createServer((client) => this.#accept(client))
    this.#server.listen(port, HOST)
    await once(this.#server, 'listening')
    this.#port = this.#server.address().port
  }

  #accept(client) {
    client.on('error', () => client.destroy())
    if (this.#stalled) this.#pending.add(client)
    else this.#connect(client)
  }

  #connect(client) {
    const server = net.connect(this.#target, HOST)
    const pair = { client, server, held: [] }
    this.#pairs.add(pair)
    this.#forward(pair, client, server)
    this.#forward(pair, server, client)
    server.on('error', () => client.destroy())
  }

  #forward(pair, from, to) {
    from.on('data', (bytes) => {
      if (this.#stalled) {
        this.heldBytes += bytes.length
        pair.held.push([to, bytes])
        from.pause()
      } else if (!to.write(bytes)) {
        from.pause()
        to.once('drain', () => from.resume())
      }
    })
    // An end that comes while the network stands still is not seen by the other side either.
    from.on('end', () => (this.#stalled ? pair.held.push([to, null]) : to.end()))
    from.on('close', () => {
      if (this.#stalled) {
        pair.held.push([to, null])
        return
      }
      this.#pairs.delete(pair)
      to.destroy()
    })
  }

  /** `stall`: nothing passes and nobody is told. `refuse`: connections break and none can be made. */
  async cut(how) {
    if (how === 'stall') {
      this.#stalled = true
      return
    }
    for (const { client, server } of this.#pairs) {
      this.destroyed += 1
      client.resetAndDestroy()
      server.resetAndDestroy()
    }
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }

  /** The network works again. */
  async heal() {
    if (!this.#stalled) {
      await this.#listen(this.#port)
      return
    }
    this.#stalled = false
    const pairs = Array.from(this.#pairs)
    for (const client of this.#pending) if (!client.destroyed) this.#connect(client)
    this.#pending.clear()
    for (const { client, server, held } of pairs) {
      for (const [to, bytes] of held.splice(0)) {
        if (bytes === null) to.end()
        else to.write(bytes)
      }
      client.resume()
      server.resume()
    }
  }

  close() {
    for (const { client, server } of this.#pairs) {
      client.destroy()
      server.destroy()
    }
    for (const client of this.#pending) client.destroy()
    this.#server.close()
  }
}

// salience.js: events, decisions and exposures for a storefront. Plain script, no dependencies, fine with a strict CSP
// (script-src of this file, connect-src of the endpoint). Apache-2.0. The reference is docs/api.md, "The snippet".
//
//   const salience = Salience.init({ endpoint: "https://decide.shop.example", key: "sal_public_...", fallbacks: {...} });
//   salience.track("product_viewed", { product_id: "p1" });
//   const decision = await salience.decide(["cart_banner"], { context: { "context.page": "cart" } });
//   salience.expose(decision);
(function (global) {
  "use strict";

  const DEFAULTS = {
    customerId: null,
    fallbacks: {}, // by placement: the offers that the page shows when nobody answers, [{ offer, content }]
    timeoutMs: 1000, // of a decision; then the page's fallbacks
    flushMs: 1000, // events wait so long for others, or for a decision to ride along with
    sessionMinutes: 30, // without an event a session ends; as in the vocabulary
    sessionId: null, // a text or a function, where the shop has session ids of its own
    maxQueue: 200, // events kept while the service is away; then the oldest go
    preview: null, // a token of `salience preview`; else the page's address has it, as ?salience_preview=...
    onDecision: null, // called with each decision, fallbacks too
    storage: null, // instead of localStorage: { getItem, setItem }
  };
  const BATCH = 50; // events in one request: below the 64 KiB that a beacon may have
  const LONGEST_WAIT_MS = 30000;
  const uuid = () =>
    global.crypto && crypto.randomUUID
      ? crypto.randomUUID()
      : "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, () => ((Math.random() * 16) | 0).toString(16));

  class Client {
    constructor(options) {
      if (!options || !options.endpoint || !options.key) throw new Error("Salience.init needs endpoint and key");
      this.options = Object.assign({}, DEFAULTS, options);
      this.customerId = this.options.customerId;
      this._preview = this.options.preview || new URLSearchParams(global.location.search).get("salience_preview");
      this._url = (path) => `${this.options.endpoint.replace(/\/+$/, "")}${path}?key=${encodeURIComponent(this.options.key)}`;
      this._memory = {};
      this._listeners = this.options.onDecision ? [this.options.onDecision] : [];
      this._queue = this._load("queue") || [];
      this._sending = new Set(); // ids under way: not sent a second time at once
      this._seen = {}; // what was exposed last, by placement
      this._failures = 0;
      this._warned = {};
      const leave = () => global.document.visibilityState === "hidden" && this._beacon();
      if (global.document) global.document.addEventListener("visibilitychange", leave);
      global.addEventListener("pagehide", () => this._beacon());
      global.addEventListener("online", () => this.flush());
      if (this._queue.length) this._plan(this.options.flushMs);
    }

    // The session's id; a new one after `sessionMinutes` without an event or a decision.
    get sessionId() {
      const given = this.options.sessionId;
      if (given) return typeof given === "function" ? given() : given;
      const now = Date.now();
      let session = this._load("session");
      if (!session || !session.id || now - session.last >= this.options.sessionMinutes * 60000) session = { id: "s_" + uuid() };
      session.last = now;
      this._save("session", session);
      return session.id;
    }

    // Who is signed in from now on; null for nobody: signing out, and another customer, begin a new session.
    identify(customerId) {
      if (this.customerId && this.customerId !== (customerId || null)) this._save("session", null);
      this.customerId = customerId || null;
    }

    // Call `listener` with each decision from now on.
    onDecision(listener) {
      this._listeners.push(listener);
    }

    // Keep an event for sending; returns its id.
    track(type, attributes) {
      const event = { id: uuid(), type, session_id: this.sessionId, time: Date.now(), attributes: attributes || {} };
      if (this.customerId) event.customer_id = this.customerId;
      this._queue.push(event);
      this._queue.splice(0, this._queue.length - this.options.maxQueue);
      this._save("queue", this._queue);
      if (this._queue.length - this._sending.size >= BATCH && !this._failures) this.flush();
      else this._plan(this.options.flushMs);
      return event.id;
    }

    // Ask what the placements show. Never rejects: when nobody answers in time, the page's fallbacks are the answer.
    async decide(placements, asked) {
      asked = asked || {};
      const session = this.sessionId;
      const events = this._take((event) => event.session_id === session && !this._preview);
      const body = {
        session_id: session,
        placements,
        context: asked.context || {},
        events,
        sent_at: Date.now(),
        deadline_ms: Math.max(1, Math.min(asked.timeoutMs || this.options.timeoutMs, 60000)),
      };
      const customer = asked.customer === undefined ? this.customerId : asked.customer;
      if (customer) body.customer_id = customer;
      if (asked.explain) body.explain = true;
      if (this._preview) body.preview = this._preview;
      let decision;
      try {
        const answer = await this._post("/v1/decide", body, body.deadline_ms);
        if (!answer.ok) throw new Error(await this._problem(answer));
        decision = await answer.json();
        const settled = (decision.events || []).filter((each) => each.verdict !== "unconfirmed").map((each) => each.id);
        this._settle(events, (event) => settled.includes(event.id));
        decision.placements.forEach((each) => {
          const own = this.options.fallbacks[each.placement];
          if (!each.offers.length && own) each.offers = own;
        });
      } catch (error) {
        this._settle(events, () => false);
        decision = {
          decision_id: null,
          session_id: session,
          placements: placements.map((placement) => ({
            placement,
            outcome: "degraded",
            offers: this.options.fallbacks[placement] || [],
          })),
          degraded: [{ code: "service_unreachable", detail: String((error && error.message) || error) }],
        };
      }
      if (this._queue.length) this._plan(this.options.flushMs);
      this._listeners.forEach((listener) => listener(decision));
      return decision;
    }

    // Report that a shopper has seen a decision, or some of its placements; once for what stays the same.
    expose(decision, placements) {
      if (!decision || !decision.decision_id || decision.preview) return;
      const seen = {};
      decision.placements.forEach((each) => {
        if (each.error || (placements && !placements.includes(each.placement))) return;
        const tokens = each.offers.map((offer) => offer.token).filter(Boolean);
        const shape = JSON.stringify([decision.session_id, each.offers.map((offer) => [offer.offer, offer.rule]), tokens]);
        if (this._seen[each.placement] === shape) return;
        this._seen[each.placement] = shape;
        seen[each.placement] = tokens;
      });
      if (!Object.keys(seen).length) return;
      this._report({ decision_id: decision.decision_id, session_id: decision.session_id, placements: seen }, 0);
    }

    // Send what waits, now.
    async flush() {
      clearTimeout(this._timer);
      this._timer = null;
      const events = this._take(() => true);
      if (!events.length) return;
      let wait = 0;
      try {
        const answer = await this._post("/v1/events", { events, sent_at: Date.now() }, 10000);
        if (!answer.ok) {
          const again = answer.status === 429 || answer.status === 408 || answer.status >= 500;
          wait = 1000 * (Number(answer.headers.get("Retry-After")) || 0);
          const problem = await this._problem(answer);
          if (again) throw new Error(problem); // else it never will be taken: keeping it would block what follows
        }
        this._failures = 0;
        this._settle(events, () => true);
      } catch (error) {
        this._settle(events, () => false);
        this._failures += 1;
        const backoff = Math.min(LONGEST_WAIT_MS, 500 * 2 ** this._failures) * (0.5 + Math.random());
        this._plan(Math.max(wait, backoff));
        return;
      }
      if (this._queue.length) this._plan(0);
    }

    async _report(body, attempt) {
      const again = () => attempt < 4 && setTimeout(() => this._report(body, attempt + 1), 1000 * 2 ** attempt * (0.5 + Math.random()));
      try {
        const answer = await this._post("/v1/exposures", body, 10000);
        if (answer.status === 429 || answer.status >= 500) again();
        else if (!answer.ok) await this._problem(answer);
      } catch (error) {
        again();
      }
    }

    // text/plain and the key in the address: a "simple request", for which browsers need not ask the server first.
    async _post(path, body, timeoutMs) {
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      try {
        const text = JSON.stringify(body);
        const answer = await fetch(this._url(path), {
          method: "POST",
          headers: { "Content-Type": "text/plain" },
          body: text,
          credentials: "omit",
          // Outlives the page; browsers allow 64 KiB of such at a time, which a decision must not wait for.
          keepalive: path !== "/v1/decide" && text.length < 30000,
          signal: stop.signal,
        });
        const content = await answer.text(); // within the time, too
        return { ok: answer.ok, status: answer.status, headers: answer.headers, json: () => JSON.parse(content), text: content };
      } finally {
        clearTimeout(timer);
      }
    }

    _beacon() {
      const events = this._take(() => true);
      if (!events.length) return;
      const body = new Blob([JSON.stringify({ events, sent_at: Date.now() })], { type: "text/plain" });
      const taken = global.navigator.sendBeacon && global.navigator.sendBeacon(this._url("/v1/events"), body);
      this._settle(events, () => taken);
    }

    // The next events of the queue that nobody is sending, marked as being sent.
    _take(wanted) {
      const events = this._queue.filter((event) => !this._sending.has(event.id) && wanted(event)).slice(0, BATCH);
      events.forEach((event) => this._sending.add(event.id));
      return events;
    }

    // These are no longer being sent; those that are done leave the queue.
    _settle(events, done) {
      const gone = new Set(events.filter(done).map((event) => event.id));
      events.forEach((event) => this._sending.delete(event.id));
      this._queue = this._queue.filter((event) => !gone.has(event.id));
      this._save("queue", this._queue);
    }

    _plan(afterMs) {
      if (!this._timer) this._timer = setTimeout(() => this.flush(), afterMs);
    }

    // What the service did not like, for whoever opens the console; each kind once.
    async _problem(answer) {
      let problem = {};
      try {
        problem = answer.json();
      } catch (error) {
        /* not ours, perhaps a proxy's */
      }
      const words = problem.detail || `HTTP ${answer.status}`;
      if (answer.status < 500 && !this._warned[problem.type]) {
        this._warned[problem.type] = true;
        console.warn(`salience: ${words}${problem.field ? ` (${problem.field})` : ""}`);
      }
      return words;
    }

    _load(name) {
      try {
        return JSON.parse((this.options.storage || global.localStorage).getItem("salience." + name));
      } catch (error) {
        return this._memory[name]; // storage is off or full: this page only
      }
    }

    _save(name, value) {
      this._memory[name] = value;
      try {
        (this.options.storage || global.localStorage).setItem("salience." + name, JSON.stringify(value));
      } catch (error) {
        /* as above */
      }
    }
  }

  global.Salience = { init: (options) => new Client(options), version: "0.1.0" };
})(window);

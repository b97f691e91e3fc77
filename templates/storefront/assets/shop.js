"use strict";
// Every page works without this. It adds arrow keys and a running total to the seats, counts down what is held, and follows an
// order while it moves.
(() => {
  const map = document.querySelector("[data-map]");
  if (map) seats(map);
  const until = document.querySelector("[data-until]");
  if (until) countdown(until);
  const order = document.getElementById("order");
  if (order && order.dataset.live) follow(order);

  function seats(map) {
    const { most, digits, currency } = map.dataset;
    const total = map.querySelector("[data-total]");
    const first = total.textContent;
    const sum = (last) => {
      const chosen = map.querySelectorAll("input:checked");
      if (chosen.length > most && last) {
        last.checked = false;
        total.textContent = `One order has at most ${most} seats.`;
        return;
      }
      let amount = 0;
      for (const seat of chosen) amount += +seat.closest("[data-price]").dataset.price;
      const price = (amount / 10 ** digits).toFixed(digits);
      total.textContent = chosen.length ? `${chosen.length} ${chosen.length > 1 ? "seats" : "seat"}, ${price} ${currency}` : first;
    };
    map.addEventListener("change", (event) => sum(event.target));
    map.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!way || event.target.type !== "checkbox") return;
      event.preventDefault();
      const row = event.target.closest("fieldset");
      const next = way[0] ? inRow(beside(row, way[0]), place(row, event.target), way[0]) : along(row, event.target, way[1]);
      if (next) next.focus();
    });
    const boxes = (row) => [...row.querySelectorAll("input")];
    const place = (row, seat) => boxes(row).indexOf(seat);
    const along = (row, seat, step) => {
      const all = boxes(row);
      let at = all.indexOf(seat) + step;
      while (all[at] && all[at].disabled) at += step;
      return all[at];
    };
    const beside = (row, step) => {
      const rows = [...map.querySelectorAll("fieldset")];
      return rows[rows.indexOf(row) + step];
    };
    // The nearest seat that can be chosen, in this row or beyond it.
    const inRow = (row, at, step) => {
      for (; row; row = beside(row, step)) {
        const free = boxes(row).map((seat, i) => [seat, Math.abs(i - at)]).filter(([seat]) => !seat.disabled);
        if (free.length) return free.reduce((a, b) => (b[1] < a[1] ? b : a))[0];
      }
    };
    // A browser that comes back keeps what was ticked.
    addEventListener("pageshow", () => sum());
    const alert = document.getElementById("alert");
    if (alert) alert.focus();
  }

  function countdown(held) {
    const left = held.querySelector("[data-left]");
    const end = Date.parse(held.dataset.until);
    const tick = () => {
      const seconds = Math.max(0, Math.round((end - Date.now()) / 1000));
      left.textContent = seconds > 90 ? `${Math.ceil(seconds / 60)} min` : `${seconds} s`;
      if (seconds) setTimeout(tick, seconds > 90 ? 15000 : 1000);
    };
    tick();
  }

  function follow(order) {
    const say = document.getElementById("say");
    let busy = false;
    let timer;
    const stream = new EventSource(order.dataset.live);
    const look = async () => {
      if (busy) return again();
      busy = true;
      clearTimeout(timer);
      timer = undefined;
      try {
        const answer = await fetch(location.pathname, { headers: { accept: "text/html" } });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("order");
        if (!answer.ok || !fresh) return again();
        if (fresh.innerHTML !== order.innerHTML && !order.contains(document.activeElement)) swap(page, fresh);
        else if (fresh.innerHTML !== order.innerHTML && !fresh.dataset.live) swap(page, fresh);
        if (fresh.dataset.live) again();
        else stream.close();
      } catch {
        again();
      } finally {
        busy = false;
      }
    };
    const swap = (page, fresh) => {
      order.innerHTML = fresh.innerHTML;
      if (!fresh.dataset.live) delete order.dataset.live;
      document.title = page.title;
      say.textContent = order.querySelector("h1").textContent;
    };
    // The stream says when there is news; without it, looking now and then does.
    const again = () => {
      if (!timer) timer = setTimeout(look, 2000);
    };
    stream.addEventListener("order", look);
    again();
  }
})();

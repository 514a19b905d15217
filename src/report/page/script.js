(() => {
  const STEPS = 200;
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const grouped = new Intl.NumberFormat("en");
  const count = (number) => grouped.format(number);
  const share = (part, whole) => (whole > 0 ? (100 * part) / whole : 0).toFixed(1);
  const minus = (text) => text.replace("-", "\u2212");

  for (const hidden of all("#bar, .tools, .now")) hidden.hidden = false;

  // Layers, in the order of the data.
  const rows = all("#layer-table tbody tr");
  const layers = data.layers.map((counts, place) => {
    const section = document.getElementById(counts.id);
    const cells = (element) =>
      Object.fromEntries(all("[data-live]", element).map((cell) => [cell.dataset.live, cell]));
    return { counts, section, row: rows[place], cell: cells(rows[place]), now: cells(section) };
  });

  // τ, as its place among the thresholds.
  const slider = document.getElementById("tau");
  const field = document.getElementById("tau-number");
  const cursor = document.getElementById("cursor");
  const command = document.getElementById("command");
  const net = all("[data-net]");
  const liveTables = [];
  let place = 0;

  const placeOf = (text) => {
    const tau = Number(text);
    return text === "" || Number.isNaN(tau) ? null : Math.round((Math.min(1, Math.max(-1, tau)) + 1) * 100);
  };

  const first = placeOf(field.defaultValue);

  const show = () => {
    const tau = ((place - STEPS / 2) / 100).toFixed(2);
    const [kernels, pairs] = [data.net.kernels_above[place], data.net.pairs_above[place]];
    const texts = {
      tau: minus(tau),
      kernels: count(kernels),
      share: share(kernels, data.net.kernels),
      pairs: count(pairs),
      "pairs-share": share(pairs, data.net.pairs),
      "by-chance": count(Math.round(data.net.kernels_by_chance[place])),
      "by-chance-share": share(data.net.kernels_by_chance[place], data.net.kernels),
    };
    for (const element of net) element.textContent = texts[element.dataset.net];
    // A share of each layer's kernels has no place of its own: it stands until τ is moved.
    const given = place === first ? command.dataset.first : tau;
    command.textContent = `${command.dataset.before} ${given}${command.dataset.after}`;
    slider.style.setProperty("--at", place / STEPS);
    cursor.style.setProperty("--at", place / STEPS);
    cursor.style.setProperty("--kernels", data.net.kernels ? kernels / data.net.kernels : 0);
    cursor.style.setProperty("--pairs", data.net.pairs ? pairs / data.net.pairs : 0);
    for (const { counts, cell, now } of layers) {
      const kernels = counts.kernels_above[place];
      const part = counts.kernels ? kernels / counts.kernels : 0;
      cell.kernels_above.textContent = count(kernels);
      cell.kernels_above.style.setProperty("--share", part);
      cell.kernels_by_chance.textContent = counts.kernels_by_chance[place].toFixed(1);
      cell.pairs_above.textContent = count(counts.pairs_above[place]);
      now.tau.textContent = minus(tau);
      now.kernels_above.textContent = count(kernels);
      now.share.textContent = share(kernels, counts.kernels);
      now.kernels_by_chance.textContent = counts.kernels_by_chance[place].toFixed(1);
      now.share_by_chance.textContent = share(counts.kernels_by_chance[place], counts.kernels);
      now.pairs_above.textContent = count(counts.pairs_above[place]);
    }
  };

  // Rows stay where they are while τ moves, and are sorted anew once it stands.
  const settle = () => liveTables.forEach((sort) => sort());

  const move = (to) => {
    if (to === null || to === place) return;
    place = to;
    slider.value = field.value = ((place - STEPS / 2) / 100).toFixed(2);
    show();
  };

  slider.addEventListener("input", () => move(placeOf(slider.value)));
  slider.addEventListener("change", settle);
  field.addEventListener("input", () => {
    const to = placeOf(field.value);
    if (to === null || to === place) return;
    place = to;
    slider.value = ((place - STEPS / 2) / 100).toFixed(2);
    show();
  });
  field.addEventListener("change", () => {
    field.value = ((place - STEPS / 2) / 100).toFixed(2);
    settle();
  });

  const plot = find("#chart .plot");
  const drag = (event) => {
    const box = plot.getBoundingClientRect();
    const at = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    move(Math.round(at * STEPS));
  };
  plot.addEventListener("pointerdown", (event) => {
    plot.setPointerCapture(event.pointerId);
    drag(event);
  });
  plot.addEventListener("pointermove", (event) => {
    if (plot.hasPointerCapture(event.pointerId)) drag(event);
  });
  plot.addEventListener("pointerup", settle);
  cursor.hidden = false;

  const copy = document.getElementById("copy");
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(command.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(command);
        copy.textContent = "Selected";
      }
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    });
  }

  const layerOf = new Map(layers.map((layer) => [layer.row, layer]));
  for (const table of all("table.sortable")) {
    const sort = sortable(table, (row, cell) => layerOf.get(row).counts[cell.dataset.live][place]);
    if (find('th[data-sort="live"]', table)) liveTables.push(sort);
  }

  const filter = document.getElementById("filter");
  if (filter) {
    const names = layers.map(({ row }) => row.cells[1].textContent.toLowerCase());
    filter.addEventListener("input", () => {
      const wanted = filter.value.trim().toLowerCase();
      let shown = 0;
      layers.forEach(({ row, section }, place) => {
        const hidden = !names[place].includes(wanted);
        row.hidden = section.hidden = hidden;
        shown += hidden ? 0 : 1;
      });
      const text = wanted === "" ? "" : `${shown} of ${layers.length} layers`;
      document.getElementById("filtered").textContent = text;
    });
  }

  // What a link points to is opened; so is everything for paper.
  const openTarget = () => {
    let id = location.hash.slice(1);
    try {
      id = decodeURIComponent(id);
    } catch {
      // Not encoded: taken as it is.
    }
    const target = id && document.getElementById(id);
    if (target instanceof HTMLDetailsElement) {
      target.hidden = false;
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", openTarget);
  // A link to where one already is changes no hash.
  addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash) openTarget();
  });
  for (const button of all("button[data-open]")) {
    button.addEventListener("click", () => {
      for (const { section } of layers) section.open = button.dataset.open === "true";
    });
  }
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = layers.map(({ section }) => section).filter((section) => !section.open);
    for (const section of closed) section.open = true;
  });
  addEventListener("afterprint", () => {
    for (const section of closed) section.open = false;
  });

  place = placeOf(field.value);
  // A browser that goes back to the page may keep what stood in the controls.
  slider.value = field.value;
  show();
  openTarget();
})();

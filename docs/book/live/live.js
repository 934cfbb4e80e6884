// What the live figures share: a plane with axes, curves and handles, and numbers that are shown.
const DRAWN = "http://www.w3.org/2000/svg";

function element(parent, name, attributes) {
  const made = document.createElementNS(DRAWN, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

// Show a number with six digits, or more; all of them are in data-exact.
function show(name, value, digits = 6) {
  const place = document.querySelector(`[data-number="${name}"]`);
  place.dataset.exact = value;
  place.textContent = short(value, digits);
}

function short(value, digits = 6) {
  if (!Number.isFinite(value)) return "diverged";
  return value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6)
    ? String(Number(value.toPrecision(digits)))
    : value.toExponential(3);
}

// The names of the sliders and choices of a page, each with what it calls when it is moved.
function control(name, moved) {
  const input = document.querySelector(`[name="${name}"]`);
  input.addEventListener("input", moved);
  return {
    get value() {
      return input.tagName === "SELECT" ? input.value : Number(input.value);
    },
    set value(value) {
      input.value = value;
    },
  };
}

class Plane {
  constructor(svg, xs, ys, labels, powers = false) {
    Object.assign(this, { svg, xs, ys, powers, width: 640, height: 400, left: 58, right: 12, top: 28, bottom: 44 });
    svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    const inside = { x: this.left, y: this.top, width: this.width - this.left - this.right };
    const clip = element(element(svg, "defs", {}), "clipPath", { id: `inside-${svg.id}` });
    element(clip, "rect", { ...inside, height: this.height - this.top - this.bottom });
    for (const x of ticks(xs)) {
      element(svg, "path", { class: "grid", d: `M${this.column(x)} ${this.top}V${this.height - this.bottom}` });
      this.label(x, this.column(x), this.height - this.bottom + 18, "middle");
    }
    for (const y of ticks(ys)) {
      element(svg, "path", { class: "grid", d: `M${this.left} ${this.row(y)}H${this.width - this.right}` });
      this.label(y, this.left - 6, this.row(y) + 4, "end");
    }
    element(svg, "path", {
      class: "axis",
      d: `M${this.left} ${this.top}V${this.height - this.bottom}H${this.width - this.right}`,
    });
    const below = { x: (this.left + this.width) / 2, y: this.height - 8, "text-anchor": "middle" };
    element(svg, "text", below).textContent = labels[0];
    element(svg, "text", { x: 8, y: 16 }).textContent = labels[1];
    this.curves = element(svg, "g", { "clip-path": `url(#inside-${svg.id})` });
  }

  label(value, x, y, anchor) {
    const text = element(this.svg, "text", { x, y, "text-anchor": anchor });
    text.textContent = this.powers ? "10" : String(Number(value.toPrecision(6)));
    if (this.powers) element(text, "tspan", { dy: -5, "font-size": 10 }).textContent = String(value);
  }

  column(x) {
    return this.left + ((x - this.xs[0]) / (this.xs[1] - this.xs[0])) * (this.width - this.left - this.right);
  }

  row(y) {
    return this.top + ((this.ys[1] - y) / (this.ys[1] - this.ys[0])) * (this.height - this.top - this.bottom);
  }

  // A curve, and how to draw it through other points.
  curve(kind) {
    const path = element(this.curves, "path", { class: `curve ${kind}` });
    return (points) => {
      const known = points.filter(([, y]) => !Number.isNaN(y)); // None are, where a step has diverged.
      const shown = known.map(([x, y]) => [this.column(x), Math.min(Math.max(this.row(y), -1e4), 1e4)]);
      path.setAttribute("d", shown.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join(""));
    };
  }

  // A point that is dragged, or moved by the arrow keys.
  handle(name, colour, along, moved) {
    const dot = element(this.svg, "circle", {
      class: `handle ${colour}`,
      r: 9,
      tabindex: 0,
      role: "slider",
      "aria-label": name,
      "aria-valuemin": (along === "y" ? this.ys : this.xs)[0],
      "aria-valuemax": (along === "y" ? this.ys : this.xs)[1],
      "data-handle": name,
    });
    const at = { x: 0, y: 0 };
    const place = (x, y) => {
      Object.assign(at, { x, y });
      dot.setAttribute("cx", this.column(x));
      dot.setAttribute("cy", this.row(y));
      const value = along === "y" ? y : x;
      dot.setAttribute("aria-valuenow", value);
      dot.setAttribute("aria-valuetext", along === "xy" ? `${short(x)}, ${short(y)}` : short(value));
    };
    const move = (x, y) => {
      const within = (value, [low, high]) => Math.min(Math.max(value, low), high);
      moved(along === "y" ? at.x : within(x, this.xs), along === "x" ? at.y : within(y, this.ys));
    };
    dot.addEventListener("pointerdown", (event) => dot.setPointerCapture(event.pointerId));
    dot.addEventListener("pointermove", (event) => {
      if (!dot.hasPointerCapture(event.pointerId)) return;
      const frame = this.svg.getBoundingClientRect();
      const x = ((event.clientX - frame.left) / frame.width) * this.width - this.left;
      const y = ((event.clientY - frame.top) / frame.height) * this.height - this.top;
      move(
        this.xs[0] + (x / (this.width - this.left - this.right)) * (this.xs[1] - this.xs[0]),
        this.ys[1] - (y / (this.height - this.top - this.bottom)) * (this.ys[1] - this.ys[0]),
      );
    });
    dot.addEventListener("keydown", (event) => {
      const [right, up] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [];
      if (right === undefined) return;
      event.preventDefault();
      const both = along === "x" ? right + up : right;
      move(at.x + (both * (this.xs[1] - this.xs[0])) / 100, at.y + (up * (this.ys[1] - this.ys[0])) / 100);
    });
    return place;
  }
}

// Round numbers within a range, about six.
function ticks([low, high]) {
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * power >= rough) * power;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return found;
}

function range(low, high, count) {
  return Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
}

document.querySelector(".live").hidden = false;

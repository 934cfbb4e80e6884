// The points, the sinusoid that they are put on, and the parameters after each step.
const RATE = "inner_learning_rate";
const POINTS = [-4, -2.2, -0.4, 1.6, 3.8];
const plane = new Plane(document.querySelector("#sinusoid"), [-5, 5], [-6, 6], ["x", "y"]);
const truth = plane.curve("grey dashed");
const fits = [plane.curve("purple"), plane.curve("orange"), plane.curve("blue")];
const points = POINTS.map((x) => [x, 0]);
const handles = points.map((point, i) =>
  plane.handle(`point ${i + 1}`, "red", "xy", (x, y) => {
    point[0] = x;
    point[1] = y;
    draw();
  }),
);
const controls = Object.fromEntries(
  ["start", "steps", RATE].map((name) => [name, control(name, draw)]).concat(
    ["amplitude", "phase"].map((name) => [name, control(name, onSinusoid)]),
  ),
);

function sinusoid(x) {
  return controls.amplitude.value * Math.sin(x - controls.phase.value);
}

function onSinusoid() {
  points.forEach((point) => (point[1] = sinusoid(point[0])));
  draw();
}

// The parameters as they lie in the file: float32, one array after another.
function parametersOf(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const all = new Float32Array(bytes.buffer);
  let begin = 0;
  return data.sizes.map((size) => all.slice(begin, (begin += size)));
}

function draw() {
  const columns = [0, 1].map((axis) => Float32Array.from(points, (point) => point[axis]));
  const rate = Float32Array.of(controls[RATE].value);
  let parameters = parametersOf(data.start[controls.start.value]);
  const curves = [];
  for (let step = 0; step <= 10; step++) {
    const [loss, ...next] = programs.gradient_step(...parameters, ...columns, rate);
    const [prediction] = programs.predict(...parameters, Float32Array.from(data.grid));
    curves.push(data.grid.map((x, i) => [x, prediction[i]]));
    show(`loss-${step}`, loss[0]);
    parameters = next;
  }
  const steps = controls.steps.value;
  fits[0](curves[0]);
  fits[1](curves[1]);
  fits[2](curves[steps]);
  truth(data.grid.map((x) => [x, sinusoid(x)]));
  handles.forEach((place, i) => place(...points[i]));
  document.querySelectorAll("tr[data-step]").forEach((row) => {
    row.classList.toggle("here", Number(row.dataset.step) === steps);
  });
  for (const name of ["amplitude", "phase", "steps", RATE]) show(name, controls[name].value);
}

onSinusoid();

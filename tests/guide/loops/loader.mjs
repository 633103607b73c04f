// A class that tells its progress, and a component in React's manner that uses it.

export class ProgressiveLoader {
  parts = [];

  constructor(url) {
    this.url = url;
  }

  async loadAll(onProgress = () => {}) {
    let cursor = null;

    do {
      const query = cursor === null ? "" : `?cursor=${cursor}`;
      const response = await fetch(this.url + query);
      const { results, cursor: next } = await response.json();
      this.parts.push(...results);
      onProgress({
        results,
        totalLoaded: this.parts.length,
        hasMore: next !== null,
      });
      cursor = next;
    } while (cursor !== null);

    return this.parts;
  }
}

function Dashboard({ useState, useEffect }) {
  const [parts, setParts] = useState([]);
  const [loading, setLoading] = useState(false);

  useEffect(() => {
    setLoading(true);

    return new ProgressiveLoader("/api/dashboard/")
      .loadAll(({ results }) => setParts((before) => [...before, ...results]))
      .finally(() => setLoading(false));
  });

  return { parts, loading };
}

/** React's two hooks, as far as this component goes. */
function rendered(component) {
  const states = [];
  const views = [];
  let effect;

  const render = () => {
    let number = -1;
    const useState = (initial) => {
      number += 1;
      const mine = number;
      states[mine] ??= { value: initial };
      const set = (value) => {
        const { value: before } = states[mine];
        states[mine] = { value: typeof value === "function" ? value(before) : value };
        render();
      };
      return [states[mine].value, set];
    };
    const useEffect = (run) => {
      effect ??= run;
    };
    views.push(component({ useState, useEffect }));
  };

  render();
  return { views, mounted: effect() };
}

export async function run() {
  const progress = [];
  const loaded = await new ProgressiveLoader("/api/dashboard/").loadAll(
    ({ totalLoaded, hasMore }) => progress.push([totalLoaded, hasMore]),
  );
  const { views, mounted } = rendered(Dashboard);
  await mounted;

  return {
    loaded,
    progress,
    renders: views.map(({ parts, loading }) => [parts.length, loading]),
    component: views.at(-1).parts,
  };
}

// A component in Vue's options form, with `$http` as axios answers.

const component = {
  data() {
    return { parts: [], loading: false };
  },

  async mounted() {
    this.loading = true;
    let url = "/api/dashboard/";

    do {
      const { data } = await this.$http.get(url);
      this.parts.push(...data.results);
      url = data.cursor ? `/api/dashboard/?cursor=${data.cursor}` : null;
    } while (url);

    this.loading = false;
  },
};

const $http = {
  async get(url) {
    const response = await fetch(url);
    return { status: response.status, data: await response.json() };
  },
};

export async function run() {
  const instance = Object.assign(component.data(), { $http });
  const mounted = component.mounted.call(instance);
  const meanwhile = instance.loading;
  await mounted;

  return { parts: instance.parts, loading: [meanwhile, instance.loading] };
}

// What the console was started with, and how this browser shows it.
import { get, session } from '/static/api.js'
import { useLoad } from '/static/load.js'
import { chooseTheme, theme } from '/static/theme.js'

const THEMES = [{ label: 'As the system', value: 'auto' }, { label: 'Light', value: 'light' }, { label: 'Dark', value: 'dark' }]

export const Settings = {
  setup() {
    return { THEMES, chooseTheme, load: useLoad(signal => get('/api/settings', {}, signal)), session, theme }
  },
  template: `
    <PageHead title="Settings" />
    <section class="card spaced"><h2>Look</h2><q-btn-toggle :model-value="theme.choice" :options="THEMES" no-caps unelevated toggle-color="primary" class="kinds" aria-label="Light or dark" @update:model-value="chooseTheme" /><p class="muted space">Kept in this browser.</p></section>
    <ViewLoad :load="load" v-slot="{ data }">
      <section class="card spaced"><h2>This console</h2>
        <dl class="keys wide"><dt>Cluster</dt><dd class="mono">{{ data.bootstrap }}</dd><dt>Listens at</dt><dd class="mono">{{ data.listen }}</dd><dt>Changes</dt><dd>{{ data.read_only ? 'None: started with --read-only' : 'Allowed' }}</dd><dt>Figures from</dt><dd :class="{ mono: data.metrics.length }">{{ data.metrics.length ? data.metrics.join(', ') : 'Offsets alone' }}</dd><dt>Schema registry</dt><dd :class="{ mono: data.schema_registry }">{{ data.schema_registry ?? 'None' }}</dd><dt>Other names allowed</dt><dd :class="{ mono: data.allowed_hosts.length }">{{ data.allowed_hosts.join(', ') || 'None' }}</dd></dl></section>
      <section v-if="Object.keys(data.client).length" class="card spaced"><h2>Settings of its Kafka client</h2><dl class="keys wide"><template v-for="(value, name) in data.client" :key="name"><dt class="mono">{{ name }}</dt><dd class="mono">{{ value ?? '••••••' }}</dd></template></dl></section>
      <section class="card spaced"><h2>Versions</h2><dl class="keys wide"><template v-for="(value, name) in data.versions" :key="name"><dt>{{ name }}</dt><dd class="mono">{{ value }}</dd></template></dl></section>
    </ViewLoad>`,
}

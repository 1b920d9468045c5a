// The frame around every view: where one can go, which cluster it is, whether it answers.
import { computed, ref } from '/static/vue.js'
import { session } from '/static/api.js'
import { KEYS, PLACES, useKey } from '/static/keyboard.js'
import { live } from '/static/live.js'
import { route, view } from '/static/router.js'
import { chooseTheme, theme } from '/static/theme.js'

const ICONS = { '/': 'space_dashboard', '/topics': 'topic', '/groups': 'groups', '/transactions': 'swap_horiz', '/brokers': 'dns', '/profiles': 'local_fire_department', '/settings': 'settings' }

export const Frame = {
  setup() {
    const isOpen = ref(window.innerWidth >= 900)
    const isHelpShown = ref(false)
    const places = Object.entries(PLACES).map(([key, [path, title]]) => ({ key, path, title, icon: ICONS[path] }))
    const isHere = path => path === '/' ? route.path === '/' : route.path === path || route.path.startsWith(path + '/')
    const switchTheme = () => chooseTheme(theme.isDark ? 'light' : 'dark')
    const answer = computed(() => ({
      live: ['good', 'Live'], starting: ['quiet', 'Connecting'], unreachable: ['bad', 'Cluster unreachable'], lost: ['bad', 'Console lost'],
    })[live.state])
    const leaveDrawer = () => { if (window.innerWidth < 900) isOpen.value = false }
    useKey('?', () => { isHelpShown.value = true })
    useKey('d', switchTheme)
    return { KEYS, answer, isHelpShown, isHere, isOpen, leaveDrawer, live, places, route, session, switchTheme, theme, view }
  },
  template: `
    <q-layout view="hHh LpR fFf">
      <a class="skip" href="#content" @click.prevent="$refs.content.focus()">To the content</a>
      <q-header class="bar">
        <q-toolbar>
          <q-btn flat round dense icon="menu" class="only-narrow" aria-label="Menu" :aria-expanded="isOpen" @click="isOpen = !isOpen" />
          <a href="/" class="brand"><img src="/static/icon.svg" alt="" width="24" height="24"><span>Tailrace</span></a>
          <span class="cluster mono" :title="'Asked through ' + session.bootstrap">{{ session.bootstrap }}</span>
          <span v-if="session.read_only" class="state-chip quiet">read-only</span>
          <q-space />
          <span class="live-state state-chip" :class="answer[0]" role="status"><i class="dot"></i><span>{{ answer[1] }}</span></span>
          <q-btn flat round dense :icon="theme.isDark ? 'light_mode' : 'dark_mode'" :aria-label="theme.isDark ? 'Light' : 'Dark'" @click="switchTheme"><q-tooltip>{{ theme.isDark ? 'Light' : 'Dark' }} (d)</q-tooltip></q-btn>
          <q-btn flat round dense icon="keyboard" class="only-wide" aria-label="Keys" @click="isHelpShown = true"><q-tooltip>Keys (?)</q-tooltip></q-btn>
        </q-toolbar>
      </q-header>
      <q-drawer v-model="isOpen" :width="208" :breakpoint="900" class="side">
        <nav aria-label="Console">
          <a v-for="place in places" :key="place.path" :href="place.path" :class="{ here: isHere(place.path) }" :aria-current="isHere(place.path) ? 'page' : null" @click="leaveDrawer">
            <q-icon :name="place.icon" size="20px" aria-hidden="true" /><span>{{ place.title }}</span><kbd>g {{ place.key }}</kbd>
          </a>
        </nav>
        <p class="version muted">Tailrace {{ session.version }}</p>
      </q-drawer>
      <q-page-container>
        <main id="content" ref="content" tabindex="-1">
          <div v-if="live.state === 'unreachable'" class="banner bad" role="alert"><q-icon name="cloud_off" size="20px" /><div><b>{{ live.failure.cause }}</b> {{ live.failure.cure }}</div></div>
          <div v-if="live.state === 'lost'" class="banner bad" role="alert"><q-icon name="cloud_off" size="20px" /><div><b>The console's own server does not answer.</b> Look whether tailrace is still running; this page goes on by itself when it is back.</div></div>
          <component :is="view" :key="route.path.split('/').slice(0, 3).join('/')" />
        </main>
      </q-page-container>
      <q-dialog v-model="isHelpShown">
        <q-card class="dialog" role="dialog" aria-label="Keys"><h2>Keys</h2>
          <dl class="keys"><template v-for="[key, what] in KEYS" :key="key"><dt><kbd>{{ key }}</kbd></dt><dd>{{ what }}</dd></template></dl>
          <div class="dialog-actions"><q-btn v-close-popup flat no-caps label="Close" /></div>
        </q-card>
      </q-dialog>
    </q-layout>`,
}

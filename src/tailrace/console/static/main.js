// The application: its frame, its views, and what each path shows.
import { Dialog, Notify, Quasar, createApp } from '/static/vue.js'
import { loadSession } from '/static/api.js'
import { startLive } from '/static/live.js'
import { startRouter } from '/static/router.js'
import { startTheme } from '/static/theme.js'
import { components } from '/static/components/index.js'
import { Frame } from '/static/components/frame.js'
import { Overview } from '/static/pages/overview.js'
import { Topics } from '/static/pages/topics.js'
import { Topic } from '/static/pages/topic.js'
import { Groups } from '/static/pages/groups.js'
import { Group } from '/static/pages/group.js'
import { Transactions } from '/static/pages/transactions.js'
import { Brokers } from '/static/pages/brokers.js'
import { Broker } from '/static/pages/broker.js'
import { Profiles } from '/static/pages/profiles.js'
import { Settings } from '/static/pages/settings.js'
import { NotFound } from '/static/pages/not-found.js'

const VIEWS = [
  ['/', Overview, 'Overview'],
  ['/topics', Topics, 'Topics'],
  ['/topics/:topic', Topic, params => params.topic],
  ['/topics/:topic/:tab', Topic, params => `${params.topic} ${params.tab}`],
  ['/groups', Groups, 'Groups'],
  ['/groups/:group', Group, params => params.group],
  ['/transactions', Transactions, 'Transactions'],
  ['/brokers', Brokers, 'Brokers'],
  ['/brokers/:broker', Broker, params => `Broker ${params.broker}`],
  ['/profiles', Profiles, 'Profiles'],
  ['/settings', Settings, 'Settings'],
  ['*', NotFound, 'Not found'],
]

export function start() {
  const app = createApp(Frame)
  app.use(Quasar, {
    plugins: { Dialog, Notify },
    config: { brand: { primary: '#0f766e', negative: '#b42318', positive: '#15803d', warning: '#b45309' }, notify: { position: 'bottom-right', timeout: 4000 } },
  })
  for (const [name, component] of Object.entries(components)) app.component(name, component)
  startTheme()
  startRouter(VIEWS)
  startLive()
  loadSession().catch(() => {}) // The frame tells by `live` that the server does not answer.
  app.mount('#app')
}

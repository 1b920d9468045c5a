// A state by a word and a tone; the tone alone says nothing.
const TONES = {
  Stable: 'good', Empty: 'quiet', Dead: 'bad', PreparingRebalance: 'warn', CompletingRebalance: 'warn', Assigning: 'warn', Reconciling: 'warn',
  Ongoing: 'warn', CompleteCommit: 'good', CompleteAbort: 'quiet', PrepareCommit: 'warn', PrepareAbort: 'warn', PrepareEpochFence: 'warn',
}

export const StateChip = {
  props: { state: { type: String, default: null }, tone: { type: String, default: '' } },
  setup: props => ({ toneOf: () => props.tone || TONES[props.state] || 'quiet' }),
  template: `<span class="state-chip" :class="toneOf()">{{ state ?? 'unknown' }}</span>`,
}

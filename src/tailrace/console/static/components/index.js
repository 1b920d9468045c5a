// What every view may use by its tag, without importing it.
import { CopyButton } from '/static/components/copy-button.js'
import { EmptyState } from '/static/components/empty-state.js'
import { FailureState } from '/static/components/failure-state.js'
import { FigureTile } from '/static/components/figure-tile.js'
import { LiveChart } from '/static/components/live-chart.js'
import { PageHead } from '/static/components/page-head.js'
import { StateChip } from '/static/components/state-chip.js'
import { ViewLoad } from '/static/components/view-load.js'

export const components = { CopyButton, EmptyState, FailureState, FigureTile, LiveChart, PageHead, StateChip, ViewLoad }

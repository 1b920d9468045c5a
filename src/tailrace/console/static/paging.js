// Paging, sorting and searching of a listing, kept in the address. The server does the work; QTable shows where we are.
import { reactive, watch } from '/static/vue.js'
import { route, setQuery } from '/static/router.js'

const PER_PAGE = 50

export function usePaging(sort, order = 'asc') {
  const state = reactive({
    search: route.query.q ?? '',
    table: { page: Number(route.query.page) || 1, rowsPerPage: Number(route.query.per_page) || PER_PAGE, sortBy: route.query.sort ?? sort, descending: (route.query.order ?? order) === 'desc', rowsNumber: 0 },
    request, query, change, key, total,
  })

  function query() {
    const { page, rowsPerPage, sortBy, descending } = state.table
    return { q: state.search, page, per_page: rowsPerPage, sort: sortBy, order: descending ? 'desc' : 'asc' }
  }

  function key() {
    return JSON.stringify(query())
  }

  /** Keep the place in the address; what is as without it is left out. */
  function keep() {
    const { page, rowsPerPage, sortBy, descending } = state.table
    setQuery({
      q: state.search ?? '', page: page === 1 ? '' : page, per_page: rowsPerPage === PER_PAGE ? '' : rowsPerPage,
      sort: sortBy === sort ? '' : sortBy, order: descending === (order === 'desc') ? '' : descending ? 'desc' : 'asc',
    })
  }

  function request({ pagination }) {
    const isSorted = pagination.sortBy !== state.table.sortBy || pagination.descending !== state.table.descending
    Object.assign(state.table, pagination, { sortBy: pagination.sortBy ?? sort, page: isSorted ? 1 : pagination.page })
    keep()
  }

  function change(changes) {
    state.table.page = 1
    setQuery({ ...changes, page: '' })
  }

  function total(number) {
    state.table.rowsNumber = number ?? 0
  }

  watch(() => state.search, () => {
    state.table.page = 1
    keep()
  })
  return state
}

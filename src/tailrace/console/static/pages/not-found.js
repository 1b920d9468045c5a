export const NotFound = {
  template: `<EmptyState icon="explore_off" title="There is no such page">The address may be of another version. <a href="/">To the overview</a></EmptyState>`,
}

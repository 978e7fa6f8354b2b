-- Half front page, half addresses that no cache can hold. Run by wrk on loopback, bounded in time.
local count = 0

request = function()
  count = count + 1
  local path = "/"
  if count % 2 == 0 then
    path = "/?s-" .. math.random(1, 1000000000) .. "=" .. count
  end
  return wrk.format("GET", path)
end
